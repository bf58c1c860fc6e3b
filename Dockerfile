# One image for all processes: `engage api`, `engage feed`, `engage worker`, `engage migrate`.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv==0.13.9
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY workers ./workers
# The pins in pyproject.toml constrain uv, so the image has the tested versions. Modules are compiled here, because the file
# system of a container is read-only.
RUN uv venv /opt/engage && VIRTUAL_ENV=/opt/engage UV_COMPILE_BYTECODE=1 uv sync --active --no-dev --no-editable

FROM python:3.13-slim
RUN groupadd --system --gid 10001 engage && useradd --system --uid 10001 --gid 10001 --no-create-home engage
COPY --from=build /opt/engage /opt/engage
ENV PATH=/opt/engage/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number: Kubernetes does not look names up to see that it is not root.
USER 10001:10001
EXPOSE 8080 8081 9100
ENTRYPOINT ["engage"]
CMD ["api"]
