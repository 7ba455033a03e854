// What one JavaScript environment (the main thread or one worker) has of this module, and helpers
// to read arguments.
//
// There is no global state: every exported function gets its Addon by its data pointer, so the
// module loads in any number of worker threads at once. Files are known to JavaScript by small
// numbers, which cost less to pass than wrapped objects. Thread-safety: the JavaScript thread of
// the environment only.
#ifndef SOP_NATIVE_ADDON_H_
#define SOP_NATIVE_ADDON_H_

#include <node_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "commit_log_thread.h"
#include "file.h"

namespace sop {

class Addon {
 public:
  struct OpenFile {
    std::shared_ptr<File> file;
    std::unique_ptr<CommitLogThread> log;
  };

  // The number of a newly opened file.
  int32_t Add(std::shared_ptr<File> file);
  // Null for a number that is not open.
  OpenFile* Get(int32_t handle) {
    if (static_cast<uint32_t>(handle) >= files_.size()) return nullptr;
    OpenFile* open = &files_[static_cast<uint32_t>(handle)];
    return open->file != nullptr ? open : nullptr;
  }
  void Remove(int32_t handle);
  // Ends all log threads; what had not begun is dropped. Called before the environment goes.
  void Stop();

  CompletionQueue completions;

 private:
  std::vector<OpenFile> files_;
  std::vector<uint32_t> free_;
};

// The arguments of one call. A wrong one throws a TypeError or RangeError in JavaScript and makes
// `ok` false.
template <size_t kCount>
class Arguments {
 public:
  Arguments(napi_env env, napi_callback_info info) : env_(env) {
    size_t count = kCount;
    void* data = nullptr;
    ok_ =
        napi_get_cb_info(env, info, &count, values_, nullptr, &data) == napi_ok && count >= kCount;
    addon_ = static_cast<Addon*>(data);
    if (!ok_) Wrong("too few arguments");
  }

  bool ok() const { return ok_; }
  Addon* addon() const { return addon_; }
  napi_value Value(size_t i) const { return values_[i]; }

  int32_t Int(size_t i) {
    int32_t value = 0;
    if (ok_ && napi_get_value_int32(env_, values_[i], &value) != napi_ok)
      Wrong("a number is expected");
    return value;
  }

  // A place or a length: a whole number from 0 to 2^53 - 1.
  uint64_t Offset(size_t i) {
    double value = 0;
    if (!ok_) return 0;
    if (napi_get_value_double(env_, values_[i], &value) != napi_ok) {
      Wrong("a number is expected");
      return 0;
    }
    if (!(value >= 0 && value <= 9007199254740991.0) ||
        static_cast<double>(static_cast<uint64_t>(value)) != value) {
      OutOfRange("a position or length is not a whole number of at least 0");
      return 0;
    }
    return static_cast<uint64_t>(value);
  }

  uint8_t* Bytes(size_t i, size_t* length) {
    void* data = nullptr;
    *length = 0;
    napi_typedarray_type type;
    if (!ok_) return nullptr;
    if (napi_get_typedarray_info(env_, values_[i], &type, length, &data, nullptr, nullptr) !=
            napi_ok ||
        type != napi_uint8_array) {
      Wrong("a Uint8Array is expected");
    }
    return static_cast<uint8_t*>(data);
  }

  std::string Text(size_t i) {
    size_t length = 0;
    if (!ok_) return std::string();
    if (napi_get_value_string_utf8(env_, values_[i], nullptr, 0, &length) != napi_ok) {
      Wrong("a string is expected");
      return std::string();
    }
    std::string text(length, '\0');
    napi_get_value_string_utf8(env_, values_[i], text.data(), length + 1, &length);
    return text;
  }

  void OutOfRange(const char* what) {
    if (ok_) napi_throw_range_error(env_, "ERR_OUT_OF_RANGE", what);
    ok_ = false;
  }

 private:
  void Wrong(const char* what) {
    napi_throw_type_error(env_, "ERR_INVALID_ARG_TYPE", what);
    ok_ = false;
  }

  napi_env env_;
  napi_value values_[kCount];
  Addon* addon_ = nullptr;
  bool ok_;
};

inline napi_value Number(napi_env env, Result result) {
  napi_value value = nullptr;
  if (result >= INT32_MIN && result <= INT32_MAX) {
    napi_create_int32(env, static_cast<int32_t>(result), &value);
  } else {
    napi_create_double(env, static_cast<double>(result), &value);
  }
  return value;
}

}  // namespace sop

#endif  // SOP_NATIVE_ADDON_H_
