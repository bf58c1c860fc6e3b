# One image for all processes: `engage api`, `engage feed`, `engage worker`, `engage migrate`.
FROM python:3.13-slim AS build
RUN pip install --no-cache-dir uv
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
COPY workers ./workers
# The pins in pyproject.toml constrain uv, so the image has the tested versions.
RUN uv venv /opt/engage && VIRTUAL_ENV=/opt/engage uv sync --active --no-dev --no-editable

FROM python:3.13-slim
RUN useradd --system --uid 10001 engage
COPY --from=build /opt/engage /opt/engage
ENV PATH=/opt/engage/bin:$PATH PYTHONUNBUFFERED=1
USER engage
EXPOSE 8080 8081
ENTRYPOINT ["engage"]
CMD ["api"]
