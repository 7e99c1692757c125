# syntax=docker/dockerfile:1

FROM rust:1.95-slim-trixie AS build
WORKDIR /src
COPY . .
# The caches outlive a build and are no part of the image, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked && \
    cp target/release/toall /toall && \
    install -d -m 0700 /data

# The same Debian as above: the binary is linked to its C library.
FROM debian:trixie-slim
# The system's certificates, for S3.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /toall /usr/local/bin/toall
COPY --from=build --chown=10001:10001 /data /var/lib/toall

# These win over the file: in a container the data must be on the volume, and every address is its own.
ENV TOALL_DATA_DIR=/var/lib/toall \
    TOALL_WEB__LISTEN=0.0.0.0:8080
USER 10001:10001
WORKDIR /var/lib/toall
VOLUME /var/lib/toall
EXPOSE 8080

# Asks the web part with what the image has. Containers that run other roles only: --no-healthcheck.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/bin/bash", "-c", \
    "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && read -r answer <&3 && [[ $answer == *' 200 '* ]]"]

# Stopping takes up to 20 seconds, Docker waits 10: docker stop --timeout 30, or stop_grace_period: 30s.
ENTRYPOINT ["/usr/local/bin/toall"]
CMD ["serve", "--config", "/etc/toall/config.toml"]
