#include "async_worker.h"

#include <cerrno>
#include <memory>
#include <utility>

namespace sop {

napi_value AsyncWorker::Start(napi_env env, napi_value kept_alive, std::function<Result()> work) {
  std::unique_ptr<AsyncWorker> worker(new AsyncWorker(std::move(work)));
  napi_value name, promise;
  napi_status status = napi_create_string_utf8(env, "sop.io", NAPI_AUTO_LENGTH, &name);
  if (status == napi_ok) {
    status =
        napi_create_async_work(env, nullptr, name, Execute, Complete, worker.get(), &worker->work_);
  }
  if (status == napi_ok && kept_alive != nullptr) {
    status = napi_create_reference(env, kept_alive, 1, &worker->kept_alive_);
  }
  if (status == napi_ok) status = napi_create_promise(env, &worker->deferred_, &promise);
  if (status == napi_ok) status = napi_queue_async_work(env, worker->work_);
  if (status == napi_ok) {
    worker.release();
    return promise;
  }
  if (worker->kept_alive_ != nullptr) napi_delete_reference(env, worker->kept_alive_);
  if (worker->work_ != nullptr) napi_delete_async_work(env, worker->work_);
  napi_throw_error(env, nullptr, "sop: no work can be queued in this environment");
  return nullptr;
}

void AsyncWorker::Execute(napi_env, void* data) {
  AsyncWorker* worker = static_cast<AsyncWorker*>(data);
  worker->result_ = worker->run_();
}

void AsyncWorker::Complete(napi_env env, napi_status status, void* data) {
  std::unique_ptr<AsyncWorker> worker(static_cast<AsyncWorker*>(data));
  // At the end of the environment these calls fail one by one, and nobody is left to hear the
  // answer.
  Result result = status == napi_ok ? worker->result_ : Failure(ECANCELED);
  napi_value number;
  if (napi_create_double(env, static_cast<double>(result), &number) == napi_ok) {
    napi_resolve_deferred(env, worker->deferred_, number);
  }
  if (worker->kept_alive_ != nullptr) napi_delete_reference(env, worker->kept_alive_);
  napi_delete_async_work(env, worker->work_);
}

}  // namespace sop
