# One image for all functions; template.yaml gives each function its command. The image holds only what the functions
# need: no Spark, no moto, no command line. Only the report uses matplotlib: lensneg/healpy_without_plots.py keeps
# healpy from importing it in the other functions.
#
# The packages' own tests are left out: a seventh of the image. astropy.tests stays, because astropy imports it.
#
# The base is pinned by its dated tag, which AWS does not move. It holds CPython 3.13 in /var/lang and the runtime
# interface client.
FROM public.ecr.aws/lambda/python:3.13.2026.06.05.14

COPY requirements-lambda.lock ${LAMBDA_TASK_ROOT}/
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
        --target "${LAMBDA_TASK_ROOT}" -r "${LAMBDA_TASK_ROOT}/requirements-lambda.lock" \
    && python3 -c "import pathlib, shutil; [shutil.rmtree(path, ignore_errors=True) \
        for path in list(pathlib.Path('${LAMBDA_TASK_ROOT}').rglob('tests')) if path.parent.name != 'astropy']"

# .dockerignore says what this is: code and configs, and the file COMMIT if there is one.
COPY . ${LAMBDA_TASK_ROOT}

# COMMIT then holds the commit and the hash of the code in this image. The commit of a file that was written for other
# code does not count. The code is compiled here, because Lambda's file system is read-only. It is made readable for the
# user that Lambda runs it as, whatever the umask of the checkout was.
RUN cd "${LAMBDA_TASK_ROOT}" \
    && built="$(python3 -m lensneg.schema.code_version)" \
    && echo "${built}" > COMMIT \
    && python3 -m compileall -q functions lensneg \
    && chmod -R a+rX COMMIT configs statemachine spark functions lensneg

# For the report's plots: matplotlib writes its list of fonts to a folder in which Lambda permits writing.
ENV MPLCONFIGDIR=/tmp/matplotlib

# The ImageConfig of each function overrides this.
CMD ["functions.preflight.handler"]
