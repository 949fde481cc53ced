# versitygw with the command line of the official image, for where that one cannot be pulled.
ARG BASE
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends wget >/dev/null \
    && rm -rf /var/lib/apt/lists/*
COPY versitygw /usr/local/bin/
ENTRYPOINT ["versitygw"]
