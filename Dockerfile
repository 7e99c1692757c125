# Another base, such as one from your own mirror: --build-arg BASE=IMAGE. It needs the C library of the build stage.
ARG BASE=debian:trixie-slim

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
# The caches outlive a build and are not part of the image, so the binary is copied out of them. Cargo compares dates: a
# file that is older than the cached build, as after switching to an earlier commit, would otherwise count as unchanged.
RUN --mount=type=cache,id=toall-registry,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=toall-target,target=/src/target,sharing=locked \
    touch src/lib.rs src/main.rs && \
    cargo build --release --locked && \
    install -D target/release/toall /out/toall && \
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/ca-certificates.crt && \
    install -d -m 0700 /out/data/toall

FROM ${BASE}
# The system's certificates: every connection is verified by them.
COPY --from=build /out/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/toall /usr/local/bin/toall
# The parent is copied, so that the folder itself keeps its mode of 0700.
COPY --from=build --chown=10001:10001 /out/data/ /var/lib/

# These win over the file: in a container the data must be on the volume, and the published port must be reachable.
ENV TOALL_DATA_DIR=/var/lib/toall \
    TOALL_WEB__LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /var/lib/toall
VOLUME /var/lib/toall
EXPOSE 8080

# Bringing a large database up to date may take minutes. Containers without the role web: --no-healthcheck.
HEALTHCHECK --interval=5s --timeout=5s --start-period=10m --retries=3 CMD ["/usr/local/bin/toall", "healthcheck"]

# Stopping takes up to 20 seconds, Docker waits 10: docker stop --timeout 30, or stop_grace_period: 30s.
ENTRYPOINT ["/usr/local/bin/toall"]
CMD ["serve", "--config", "/etc/toall/config.toml"]
