// Runs one piece of blocking work in the runtime's thread pool and answers JavaScript with a
// promise of its Result.
//
// Ownership: the job owns itself from Start until its promise is settled, and keeps `kept_alive` (a
// buffer) from being collected meanwhile. What the work itself needs it must own (a share of the
// File). Thread-safety: Start from the JavaScript thread; the work runs on a pool thread and must
// not touch JavaScript values.
#ifndef SOP_NATIVE_ASYNC_WORKER_H_
#define SOP_NATIVE_ASYNC_WORKER_H_

#include <node_api.h>

#include <functional>

#include "status.h"

namespace sop {

class AsyncWorker {
 public:
  // The promise, or null with an exception pending. `kept_alive` may be null.
  static napi_value Start(napi_env env, napi_value kept_alive, std::function<Result()> work);

 private:
  explicit AsyncWorker(std::function<Result()> work) : run_(std::move(work)) {}

  static void Execute(napi_env env, void* data);
  static void Complete(napi_env env, napi_status status, void* data);

  std::function<Result()> run_;
  Result result_ = 0;
  napi_async_work work_ = nullptr;
  napi_deferred deferred_ = nullptr;
  napi_ref kept_alive_ = nullptr;
};

}  // namespace sop

#endif  // SOP_NATIVE_ASYNC_WORKER_H_
