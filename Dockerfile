# Images of the operator and the cell: one static binary each, nothing else but root certificates.
#
#   docker build --target cell -t corallite/cell:dev .
#   docker build --target operator -t corallite/operator:dev .

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# A target of its own, so that build scripts and macros are not linked statically.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" \
      --bin corallite-cell --bin corallite-operator \
 && mkdir /out && cp "target/$target/release/corallite-cell" "target/$target/release/corallite-operator" /out/

FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
LABEL org.opencontainers.image.licenses="Apache-2.0"
# Kubernetes' runAsNonRoot wants a number.
USER 65532:65532

FROM base AS operator
LABEL org.opencontainers.image.title="corallite-operator"
COPY --from=build /out/corallite-operator /corallite-operator
ENTRYPOINT ["/corallite-operator"]

FROM base AS cell
LABEL org.opencontainers.image.title="corallite-cell"
COPY --from=build /out/corallite-cell /corallite-cell
EXPOSE 7070 7071 7080 7090
ENTRYPOINT ["/corallite-cell"]
