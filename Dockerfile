# The production image: the proxy alone. Base images are arguments, so that no registry is needed where local
# images exist: docker build --build-arg BUILD_IMAGE=my-rust --build-arg RUN_IMAGE=my-debian .
ARG BUILD_IMAGE=rust:1-bookworm
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --release -p proxy

FROM ${RUN_IMAGE}
# The system's root certificates, for https:// upstreams, come from the build image: nothing is fetched here.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/target/release/proxy /usr/local/bin/proxy
COPY configs /app/configs
# By number, so that an orchestrator can see that it is not root. No account is needed for it.
USER 10001:10001
# The default PID file would go here; a container has no use for it, and the proxy only warns where it can't be written.
WORKDIR /app
ENV PROXY_CONFIG=/app/configs/docker.json
EXPOSE 3130
# Asks /healthz with the address from the same configuration; needs no credentials.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s --retries=3 CMD ["proxy", "healthcheck"]
# SIGTERM drains.
STOPSIGNAL SIGTERM
ENTRYPOINT ["proxy"]
