// The log's thread: takes append jobs of one file, writes all that wait in the order given, syncs
// once for all of them, reads the seal once, and reports the group with one wake-up of JavaScript.
//
// Invariants:
//  1. A job is answered with success only after a sync that followed its last byte, and after the
//  seal was read as zero
//     or not zero behind that sync.
//  2. When a job fails, every job given before JavaScript has been told of the failure fails the
//  same way and is not
//     written: a batch behind a lost one must never be acknowledged. `FailureSeen` ends that state.
//  3. The thread touches no JavaScript value. The bytes it writes stay alive because the caller
//  keeps them.
#ifndef SOP_NATIVE_COMMIT_LOG_THREAD_H_
#define SOP_NATIVE_COMMIT_LOG_THREAD_H_

#include <node_api.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "file.h"
#include "status.h"

namespace sop {

// Answers on their way to JavaScript, from all log threads of one environment.
// Thread-safety: Post from any thread; the rest from the JavaScript thread.
class CompletionQueue {
 public:
  struct Completion {
    uint32_t id;
    int32_t result;
  };

  // `deliver` is called as deliver(count) after (id, result) pairs were put into `pairs`.
  bool Start(napi_env env, napi_value deliver, int32_t* pairs, size_t capacity_pairs);
  void Stop();
  void Post(const std::vector<Completion>& completions);

  // The event loop stays alive while something was expected and did not arrive yet.
  void Expect(napi_env env);

 private:
  static void Wake(napi_env env, napi_value deliver, void* context, void* data);
  void Deliver(napi_env env, napi_value deliver);

  std::mutex mutex_;
  std::vector<Completion> waiting_;
  bool waking_ = false;
  bool open_ = false;
  napi_threadsafe_function function_ = nullptr;
  int32_t* pairs_ = nullptr;
  size_t capacity_pairs_ = 0;
  size_t expected_ = 0;
};

// Thread-safety: all public calls from the JavaScript thread.
class CommitLogThread {
 public:
  struct Job {
    uint32_t id;
    uint32_t generation;
    const uint8_t* from;
    size_t length;
    uint64_t position;
    uint64_t seal_position;
  };

  CommitLogThread(std::shared_ptr<File> file, CompletionQueue* completions);
  // Finishes what was given and ends the thread.
  ~CommitLogThread();
  // Drops what has not begun, so that the destructor waits for one group at most.
  void Abandon();

  // False where no thread could be started.
  bool Give(Job job);
  // Waits until nothing is under way; the failure that JavaScript has not been told of yet, else 0.
  Result WaitUntilIdle();
  void FailureSeen();

 private:
  void Run();
  void RunGroup(const std::vector<Job>& group);

  const std::shared_ptr<File> file_;
  CompletionQueue* const completions_;
  std::vector<CompletionQueue::Completion> answers_;  // the thread's own

  std::mutex mutex_;
  std::condition_variable given_;
  std::condition_variable idle_;
  std::vector<Job> queue_;
  bool running_ = false;  // a group is under way
  bool ending_ = false;
  uint32_t generation_ = 1;
  uint32_t failed_generation_ = 0;
  Result failure_ = 0;
  std::thread thread_;
};

}  // namespace sop

#endif  // SOP_NATIVE_COMMIT_LOG_THREAD_H_
