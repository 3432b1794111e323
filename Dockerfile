# An image in which `make repro` runs: docs/docker.md.
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

# git: DVC and the report ask for the commit.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git make \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 nst \
 && install --directory --owner=nst /home/nst/studies

USER 1000
WORKDIR /home/nst/studies
ENV PATH=/home/nst/studies/.venv/bin:$PATH \
    PIP_NO_CACHE_DIR=1

# cpu: without CUDA, a quarter of the size.  default: with CUDA, for `docker run --gpus all`.
ARG TORCH=cpu

# The packages are a layer of their own: a change of the code does not fetch them again.
COPY --chown=nst Makefile requirements.lock ./
RUN make packages TORCH=${TORCH}

COPY --chown=nst . .
RUN make install && mkdir .cache

CMD ["make", "repro"]
