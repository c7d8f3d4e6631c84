# Switchyard's image: built with everything, shipped with what runs, and never run as root. It writes nothing but /tmp and
# its folder of recordings, so that it can run with a file system it may only read.
FROM node:20.19.5-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.production.json ./
COPY src src
COPY migrations migrations
COPY scripts scripts
RUN npx tsc -p tsconfig.production.json \
  && npm prune --omit=dev --no-audit --no-fund

FROM node:20.19.5-bookworm-slim
ENV NODE_ENV=production \
    HTTP_HOST=0.0.0.0 \
    HTTP_PORT=8080 \
    OPERATIONS_PORT=8090
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# A new volume takes over whose folder it is mounted on.
RUN install -d -o node -g node -m 700 /var/lib/switchyard/recordings
# By number, so that Kubernetes can see that it is not root.
USER 1000:1000
EXPOSE 8080 8090
# The time is for migrations at the first start.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.OPERATIONS_PORT}/readyz/replica`).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
STOPSIGNAL SIGTERM
CMD ["node", "--enable-source-maps", "dist/src/main.js"]
