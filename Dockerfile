# One image for all functions; template.yaml gives each its command. It holds what the functions need and
# no more: no Spark, no moto, no command line. The plotting library is for the report alone: lensneg/healpy_without_plots.py
# keeps healpy from importing it in every function.
#
# The base is pinned by its dated tag, which AWS does not move. It brings CPython 3.13 in /var/lang and the
# runtime interface client.
FROM public.ecr.aws/lambda/python:3.13.2026.06.05.14

COPY requirements-lambda.lock /tmp/
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes \
        --target "${LAMBDA_TASK_ROOT}" -r /tmp/requirements-lambda.lock \
    && rm /tmp/requirements-lambda.lock

COPY configs ${LAMBDA_TASK_ROOT}/configs
COPY statemachine ${LAMBDA_TASK_ROOT}/statemachine
COPY spark ${LAMBDA_TASK_ROOT}/spark
COPY functions ${LAMBDA_TASK_ROOT}/functions
COPY lensneg ${LAMBDA_TASK_ROOT}/lensneg

# Compiled here, as Lambda's file system is read-only; readable to the user that Lambda runs it as, whatever
# the umask of the checkout was.
RUN cd "${LAMBDA_TASK_ROOT}" \
    && python3 -m compileall -q functions lensneg \
    && chmod -R a+rX configs statemachine spark functions lensneg

# The report's plots: matplotlib keeps its list of fonts where Lambda lets it write.
ENV MPLCONFIGDIR=/tmp/matplotlib

# Overridden by each function's ImageConfig.
CMD ["functions.preflight.handler"]
