# The operator's image: one static executable, the certificates of public authorities and the licence. No shell, no packages,
# not root. `make image` builds it; docs/operations.md says how to push it, and image/README.md what its arguments are.
ARG BUILD_IMAGE=docker.io/library/rust:1.95.0-slim-bookworm
ARG RUNTIME_IMAGE=scratch
# Builders set it; declared for those that know no such argument by themselves.
ARG BUILDPLATFORM

# Runs on the machine's own platform whatever the image's is: the compilers are cross compilers, nothing is emulated.
FROM --platform=${BUILDPLATFORM} ${BUILD_IMAGE} AS build
ARG TARGETARCH
WORKDIR /source
COPY image/target.sh image/toolchain.sh image/
RUN image/toolchain.sh "${TARGETARCH}"
COPY . .
RUN --mount=type=cache,id=nodepool-operator-registry,target=/usr/local/cargo/registry \
    --mount=type=cache,id=nodepool-operator-target,target=/source/target \
    image/compile.sh "${TARGETARCH}" /out/nodepool-operator

FROM ${RUNTIME_IMAGE}
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="nodepool-operator" \
      org.opencontainers.image.description="Drives AKS node pools to the intent of NodePoolPolicy objects and refuses what would take the cluster down" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY LICENSE /LICENSE
COPY --from=build /out/nodepool-operator /nodepool-operator
# Numbers, so that a kubelet sees that it is not root.
USER 65532:65532
ENTRYPOINT ["/nodepool-operator"]
