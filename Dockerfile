# The production image: the proxy alone, as a static program on an empty image. Base images are arguments, so that no registry is needed where
# local images exist: docker build --build-arg BUILD_IMAGE=my-rust .
#
# The build image makes static programs, as rust:1-alpine does by itself; another one says for which target in CARGO_BUILD_TARGET. With one that
# doesn't (rust:1-bookworm), RUN_IMAGE has to bring the C library (debian:bookworm-slim).
ARG BUILD_IMAGE=rust:1-alpine
ARG RUN_IMAGE=scratch

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
ENV CARGO_PROFILE_RELEASE_STRIP=symbols
COPY . .
# The other two images begin with the same lines, so that all of them take one built layer.
RUN cargo build --locked --release -p proxy && mkdir /empty /built && cp "target/$CARGO_BUILD_TARGET/release/proxy" /built/
# On an empty image a program that asks for the C library's loader can't start.
ARG RUN_IMAGE
RUN if [ "$RUN_IMAGE" = scratch ] && grep -aEq "/ld-(linux|musl)" /built/proxy; then \
    echo "error: this build image makes dynamic programs, which need RUN_IMAGE=debian:bookworm-slim or the like" >&2; exit 1; fi

FROM ${RUN_IMAGE}
# The system's root certificates, for https:// upstreams, come from the build image: nothing is fetched here.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /built/proxy /usr/local/bin/proxy
COPY configs /app/configs
# For the control socket, which is how the health check finds the proxy. With a read-only root, mount a tmpfs here that
# this user may write.
COPY --from=build --chown=10001:10001 /empty /run/netdrift
# By number, so that an orchestrator can see that it is not root. No account is needed for it.
USER 10001:10001
# Where a configuration that names no control socket has it.
WORKDIR /run/netdrift
ENV PROXY_CONFIG=/app/configs/docker.json
EXPOSE 3130
# Asks over the control socket and reads no configuration: no edit of that makes a sound proxy look dead.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 \
  CMD ["proxy", "healthcheck", "--control-socket", "/run/netdrift/proxy.sock"]
# SIGTERM drains.
STOPSIGNAL SIGTERM
ENTRYPOINT ["proxy"]
