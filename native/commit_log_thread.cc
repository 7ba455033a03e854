#include "commit_log_thread.h"

#include <system_error>
#include <utility>

namespace sop {

bool CompletionQueue::Start(napi_env env, napi_value deliver, int32_t* pairs,
                            size_t capacity_pairs) {
  pairs_ = pairs;
  capacity_pairs_ = capacity_pairs;
  napi_value name;
  if (napi_create_string_utf8(env, "sop.append", NAPI_AUTO_LENGTH, &name) != napi_ok) return false;
  napi_status status = napi_create_threadsafe_function(env, deliver, nullptr, name, 0, 1, nullptr,
                                                       nullptr, this, Wake, &function_);
  if (status != napi_ok) return false;
  napi_unref_threadsafe_function(env, function_);
  open_ = true;
  return true;
}

void CompletionQueue::Stop() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!open_) return;
  open_ = false;
  napi_release_threadsafe_function(function_, napi_tsfn_abort);
}

void CompletionQueue::Expect(napi_env env) {
  if (expected_++ == 0) napi_ref_threadsafe_function(env, function_);
}

void CompletionQueue::Post(const std::vector<Completion>& completions) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!open_) return;
  waiting_.insert(waiting_.end(), completions.begin(), completions.end());
  if (waking_) return;
  waking_ = napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking) == napi_ok;
}

void CompletionQueue::Wake(napi_env env, napi_value deliver, void* context, void*) {
  // Without an environment the call is only emptied out at its end.
  if (env == nullptr) return;
  static_cast<CompletionQueue*>(context)->Deliver(env, deliver);
}

void CompletionQueue::Deliver(napi_env env, napi_value deliver) {
  std::vector<Completion> group;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    group.swap(waiting_);
    waking_ = false;
  }
  expected_ -= group.size() < expected_ ? group.size() : expected_;
  if (expected_ == 0) napi_unref_threadsafe_function(env, function_);
  napi_value undefined;
  napi_get_undefined(env, &undefined);
  for (size_t done = 0; done < group.size();) {
    size_t count = 0;
    for (; count < capacity_pairs_ && done < group.size(); count++, done++) {
      pairs_[2 * count] = static_cast<int32_t>(group[done].id);
      pairs_[2 * count + 1] = group[done].result;
    }
    napi_value argument;
    napi_create_uint32(env, static_cast<uint32_t>(count), &argument);
    if (napi_call_function(env, undefined, deliver, 1, &argument, nullptr) != napi_ok) return;
  }
}

CommitLogThread::CommitLogThread(std::shared_ptr<File> file, CompletionQueue* completions)
    : file_(std::move(file)), completions_(completions) {}

CommitLogThread::~CommitLogThread() {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    ending_ = true;
  }
  given_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void CommitLogThread::Abandon() {
  std::lock_guard<std::mutex> guard(mutex_);
  queue_.clear();
}

bool CommitLogThread::Give(Job job) {
  {
    std::lock_guard<std::mutex> guard(mutex_);
    job.generation = generation_;
    queue_.push_back(job);
  }
  if (thread_.joinable()) {
    given_.notify_one();
    return true;
  }
#if defined(__cpp_exceptions)
  // The one place where the standard library may throw; it ends here.
  try {
    thread_ = std::thread([this] { Run(); });
  } catch (const std::system_error&) {
    queue_.clear();
    return false;
  }
#else
  thread_ = std::thread([this] { Run(); });
#endif
  return true;
}

Result CommitLogThread::WaitUntilIdle() {
  std::unique_lock<std::mutex> guard(mutex_);
  idle_.wait(guard, [this] { return queue_.empty() && !running_; });
  return failed_generation_ == generation_ ? failure_ : 0;
}

void CommitLogThread::FailureSeen() {
  std::lock_guard<std::mutex> guard(mutex_);
  if (failed_generation_ == generation_) generation_++;
}

void CommitLogThread::Run() {
  std::vector<Job> group;
  std::unique_lock<std::mutex> guard(mutex_);
  for (;;) {
    given_.wait(guard, [this] { return ending_ || !queue_.empty(); });
    if (queue_.empty()) return;
    group.clear();
    group.swap(queue_);
    running_ = true;
    guard.unlock();
    RunGroup(group);
    guard.lock();
    running_ = false;
    if (queue_.empty()) idle_.notify_all();
  }
}

void CommitLogThread::RunGroup(const std::vector<Job>& group) {
  uint32_t failed_generation;
  Result failure;
  {
    std::lock_guard<std::mutex> guard(mutex_);
    failed_generation = failed_generation_;
    failure = failure_;
  }
  answers_.clear();
  bool wrote = false;
  for (const Job& job : group) {
    Result result = failure;
    if (job.generation != failed_generation) {
      result = At(Stage::kWrite, file_->Write(job.from, job.length, job.position));
      wrote = wrote || result >= 0;
      if (result < 0) {
        failed_generation = job.generation;
        failure = result;
      }
    }
    answers_.push_back({job.id, static_cast<int32_t>(result)});
  }

  Result synced = wrote ? At(Stage::kSync, file_->Sync()) : 0;
  uint64_t seal_position = 0;
  Result seal = -1;
  for (size_t i = 0; i < group.size(); i++) {
    if (answers_[i].result < 0) continue;
    // The seal is the same for all jobs of a log; it is read again only for another place.
    if (synced >= 0 && (seal < 0 || group[i].seal_position != seal_position)) {
      seal_position = group[i].seal_position;
      seal = file_->SealIsZero(seal_position, group[i].position + group[i].length);
    }
    Result result = synced < 0 ? synced : seal;
    answers_[i].result = static_cast<int32_t>(result);
    if (result < 0) {
      failed_generation = group[i].generation;
      failure = result;
    }
  }

  {
    std::lock_guard<std::mutex> guard(mutex_);
    failed_generation_ = failed_generation;
    failure_ = failure;
  }
  completions_->Post(answers_);
}

}  // namespace sop
