# Debian's PostgreSQL, started as the official image does, for where that one cannot be pulled.
ARG BASE
FROM ${BASE}
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && groupadd --gid 999 postgres \
    && useradd --uid 999 --gid 999 --home-dir /var/lib/postgresql postgres \
    && apt-get install -y -qq --no-install-recommends postgresql >/dev/null \
    && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
    && install --directory --owner 999 --group 999 --mode 700 /var/lib/postgresql/data \
    && install --directory --owner 999 --group 999 --mode 3777 /var/run/postgresql \
    && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
COPY postgres.sh /usr/local/bin/
ENTRYPOINT ["bash", "/usr/local/bin/postgres.sh"]
CMD ["postgres"]
