# A SageMaker container: `IMAGE serve` answers on port 8080, `IMAGE train` runs a training job.
# For GPUs: docker build --build-arg EXTRAS=serve,train,cuda12 .
FROM python:3.12-slim
ARG EXTRAS=serve,train
WORKDIR /opt/o2v_jax
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY o2v_jax o2v_jax
RUN pip install --no-cache-dir --constraint constraints.txt ".[${EXTRAS}]"
ENV O2V_SERVE_HOST=0.0.0.0 O2V_TRAIN_SAGEMAKER=true PYTHONUNBUFFERED=1
EXPOSE 8080
# SageMaker puts only such images into an inference pipeline, where it chooses the port.
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true
# The exec form: SIGTERM reaches the server, which drains and exits 0.
ENTRYPOINT ["o2v"]
