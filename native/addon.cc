// The export table: what JavaScript can call, in one place. The typed face of it is
// src/env/addon.ts.
//
// Every call answers a number: at or above zero the answer, below zero a failure (see status.h),
// which JavaScript turns into an error with operation and path. Calls ending in Sync block the
// calling thread; those ending in Pooled answer a promise of the number and run in the runtime's
// thread pool. Files are named by the number that `open` answered.
#include "addon.h"

#include <cerrno>

#include "aligned_buffer.h"
#include "async_worker.h"
#include "crc32c.h"
#include "random.h"
#include "status.h"

namespace sop {

namespace {

// Raised whenever a function's arguments or answer change; the loader passes over a binary of
// another number.
constexpr int32_t kInterfaceVersion = 2;

const Result kNotOpen = Failure(EBADF);

// ---- opening and closing

napi_value Open(napi_env env, napi_callback_info info) {  // (path, mode, direct) -> handle
  Arguments<3> arguments(env, info);
  std::string path = arguments.Text(0);
  int32_t mode = arguments.Int(1);
  int32_t direct = arguments.Int(2);
  if (!arguments.ok()) return nullptr;
  if (mode < 0 || mode > 2 || path.find('\0') != std::string::npos)
    return Number(env, Failure(EINVAL));
  std::shared_ptr<File> file;
  Result result = File::Open(path.c_str(), static_cast<File::Mode>(mode), direct != 0, &file);
  return Number(env, result < 0 ? result : arguments.addon()->Add(std::move(file)));
}

napi_value Close(napi_env env, napi_callback_info info) {  // (handle)
  Arguments<1> arguments(env, info);
  int32_t handle = arguments.Int(0);
  if (!arguments.ok()) return nullptr;
  arguments.addon()->Remove(handle);
  return Number(env, 0);
}

// A call on an open file without further arguments.
template <typename Body>
napi_value OnFile(napi_env env, napi_callback_info info, Body body) {
  Arguments<1> arguments(env, info);
  int32_t handle = arguments.Int(0);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  return Number(env, open == nullptr ? kNotOpen : body(*open));
}

// A call with one offset.
template <typename Body>
napi_value OnFileAt(napi_env env, napi_callback_info info, Body body) {
  Arguments<2> arguments(env, info);
  int32_t handle = arguments.Int(0);
  uint64_t offset = arguments.Offset(1);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  return Number(env, open == nullptr ? kNotOpen : body(*open, offset));
}

napi_value IsDirect(napi_env env, napi_callback_info info) {  // (handle) -> 0 or 1
  return OnFile(env, info,
                [](Addon::OpenFile& open) -> Result { return open.file->direct() ? 1 : 0; });
}

napi_value Size(napi_env env, napi_callback_info info) {  // (handle) -> bytes
  return OnFile(env, info, [](Addon::OpenFile& open) { return open.file->Size(); });
}

napi_value SyncSync(napi_env env, napi_callback_info info) {  // (handle)
  return OnFile(env, info, [](Addon::OpenFile& open) { return open.file->Sync(); });
}

napi_value AppendFailureSeen(napi_env env, napi_callback_info info) {  // (handle)
  return OnFile(env, info, [](Addon::OpenFile& open) -> Result {
    if (open.log != nullptr) open.log->FailureSeen();
    return 0;
  });
}

napi_value TruncateSync(napi_env env, napi_callback_info info) {  // (handle, size)
  return OnFileAt(env, info,
                  [](Addon::OpenFile& open, uint64_t size) { return open.file->Truncate(size); });
}

napi_value Unlock(napi_env env, napi_callback_info info) {  // (handle, position)
  return OnFileAt(env, info,
                  [](Addon::OpenFile& open, uint64_t at) { return open.file->Unlock(at); });
}

napi_value IsLockedByOther(napi_env env, napi_callback_info info) {  // (handle, position) -> 0 or 1
  return OnFileAt(
      env, info, [](Addon::OpenFile& open, uint64_t at) { return open.file->IsLockedByOther(at); });
}

napi_value TryLock(napi_env env,
                   napi_callback_info info) {  // (handle, exclusive, position) -> 0 or 1
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  int32_t exclusive = arguments.Int(1);
  uint64_t position = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  return Number(env, open == nullptr ? kNotOpen : open->file->TryLock(exclusive != 0, position));
}

// ---- reading, writing, space

napi_value ReadSync(napi_env env, napi_callback_info info) {  // (handle, into, position) -> bytes
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  size_t length;
  uint8_t* into = arguments.Bytes(1, &length);
  uint64_t position = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  return Number(env, open == nullptr ? kNotOpen : open->file->Read(into, length, position));
}

napi_value WriteSync(napi_env env, napi_callback_info info) {  // (handle, from, position)
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  size_t length;
  const uint8_t* from = arguments.Bytes(1, &length);
  uint64_t position = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  return Number(env, open == nullptr ? kNotOpen : open->file->Write(from, length, position));
}

napi_value ResolvedWith(napi_env env, Result result) {
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return nullptr;
  napi_resolve_deferred(env, deferred, Number(env, result));
  return promise;
}

napi_value ReadPooled(napi_env env,
                      napi_callback_info info) {  // (handle, into, position) -> promise of bytes
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  size_t length;
  uint8_t* into = arguments.Bytes(1, &length);
  uint64_t position = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  if (open == nullptr) return ResolvedWith(env, kNotOpen);
  auto work = [file = open->file, into, length, position] {
    return file->Read(into, length, position);
  };
  return AsyncWorker::Start(env, arguments.Value(1), std::move(work));
}

napi_value WritePooled(napi_env env,
                       napi_callback_info info) {  // (handle, from, position) -> promise
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  size_t length;
  const uint8_t* from = arguments.Bytes(1, &length);
  uint64_t position = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  if (open == nullptr) return ResolvedWith(env, kNotOpen);
  auto work = [file = open->file, from, length, position] {
    return file->Write(from, length, position);
  };
  return AsyncWorker::Start(env, arguments.Value(1), std::move(work));
}

napi_value SyncPooled(napi_env env, napi_callback_info info) {  // (handle) -> promise
  Arguments<1> arguments(env, info);
  int32_t handle = arguments.Int(0);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  if (open == nullptr) return ResolvedWith(env, kNotOpen);
  return AsyncWorker::Start(env, nullptr, [file = open->file] { return file->Sync(); });
}

napi_value ReservePooled(napi_env env,
                         napi_callback_info info) {  // (handle, position, length) -> promise
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  uint64_t position = arguments.Offset(1);
  uint64_t length = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  if (open == nullptr) return ResolvedWith(env, kNotOpen);
  auto work = [file = open->file, position, length] { return file->Reserve(position, length); };
  return AsyncWorker::Start(env, nullptr, std::move(work));
}

napi_value AllocateSync(napi_env env, napi_callback_info info) {  // (handle, position, length)
  Arguments<3> arguments(env, info);
  int32_t handle = arguments.Int(0);
  uint64_t position = arguments.Offset(1);
  uint64_t length = arguments.Offset(2);
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  return Number(env, open == nullptr ? kNotOpen : open->file->Allocate(position, length));
}

// ---- the log's one job

napi_value AppendSync(
    napi_env env, napi_callback_info info) {  // (handle, from, length, position, seal) -> 0 or 1
  Arguments<5> arguments(env, info);
  int32_t handle = arguments.Int(0);
  size_t capacity;
  const uint8_t* from = arguments.Bytes(1, &capacity);
  uint64_t length = arguments.Offset(2);
  uint64_t position = arguments.Offset(3);
  uint64_t seal = arguments.Offset(4);
  if (arguments.ok() && length > capacity)
    arguments.OutOfRange("the length passes the end of the buffer");
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  if (open == nullptr) return Number(env, kNotOpen);
  // Appends of one file keep their order: those given to the log thread come first.
  Result before = open->log != nullptr ? open->log->WaitUntilIdle() : 0;
  if (before < 0) return Number(env, before);
  return Number(env, open->file->Append(from, static_cast<size_t>(length), position, seal));
}

// The answer comes through the function given to `startAppends`, under `id`; the caller keeps
// `from` alive until then.
napi_value Append(napi_env env,
                  napi_callback_info info) {  // (handle, id, from, length, position, seal)
  Arguments<6> arguments(env, info);
  int32_t handle = arguments.Int(0);
  int32_t id = arguments.Int(1);
  size_t capacity;
  const uint8_t* from = arguments.Bytes(2, &capacity);
  uint64_t length = arguments.Offset(3);
  uint64_t position = arguments.Offset(4);
  uint64_t seal = arguments.Offset(5);
  if (arguments.ok() && length > capacity)
    arguments.OutOfRange("the length passes the end of the buffer");
  if (!arguments.ok()) return nullptr;
  Addon::OpenFile* open = arguments.addon()->Get(handle);
  if (open == nullptr) return Number(env, kNotOpen);
  if (open->log == nullptr) {
    open->log = std::make_unique<CommitLogThread>(open->file, &arguments.addon()->completions);
  }
  CommitLogThread::Job job{static_cast<uint32_t>(id),   0,        from,
                           static_cast<size_t>(length), position, seal};
  if (!open->log->Give(job)) return Number(env, Failure(EAGAIN));
  arguments.addon()->completions.Expect(env);
  return Number(env, 0);
}

void StopAddon(void* addon) { static_cast<Addon*>(addon)->Stop(); }

// deliver(count): (id, result) pairs lie in the Int32Array `pairs`, which the caller keeps alive
// for good. Once.
napi_value StartAppends(napi_env env, napi_callback_info info) {  // (deliver, pairs)
  Arguments<2> arguments(env, info);
  napi_typedarray_type type;
  size_t length;
  void* pairs;
  if (!arguments.ok()) return nullptr;
  if (napi_get_typedarray_info(env, arguments.Value(1), &type, &length, &pairs, nullptr, nullptr) !=
          napi_ok ||
      type != napi_int32_array || length < 2) {
    return Number(env, Failure(EINVAL));
  }
  Addon* addon = arguments.addon();
  if (!addon->completions.Start(env, arguments.Value(0), static_cast<int32_t*>(pairs),
                                length / 2)) {
    return Number(env, Failure(EAGAIN));
  }
  // After the function was made: hooks run last in, first out, and the threads must be gone before
  // it is.
  napi_add_env_cleanup_hook(env, StopAddon, addon);
  return Number(env, 0);
}

// ---- folders, memory, checksums, names of errors

napi_value SyncFolderSync(napi_env env, napi_callback_info info) {  // (path)
  Arguments<1> arguments(env, info);
  std::string path = arguments.Text(0);
  if (!arguments.ok()) return nullptr;
  return Number(env, SyncFolder(path.c_str()));
}

napi_value SyncFolderPooled(napi_env env, napi_callback_info info) {  // (path) -> promise
  Arguments<1> arguments(env, info);
  std::string path = arguments.Text(0);
  if (!arguments.ok()) return nullptr;
  return AsyncWorker::Start(env, nullptr,
                            [path = std::move(path)] { return SyncFolder(path.c_str()); });
}

napi_value Allocate(napi_env env, napi_callback_info info) {  // (size) -> Uint8Array
  Arguments<1> arguments(env, info);
  uint64_t size = arguments.Offset(0);
  if (!arguments.ok()) return nullptr;
  napi_value array = NewAlignedArray(env, static_cast<size_t>(size));
  if (array == nullptr)
    napi_throw_range_error(env, "ERR_MEMORY_ALLOCATION_FAILED", "not enough memory for the buffer");
  return array;
}

template <uint32_t (*kFunction)(const uint8_t*, size_t, uint32_t)>
napi_value Checksum(napi_env env, napi_callback_info info) {  // (bytes, start, end, seed) -> CRC
  Arguments<4> arguments(env, info);
  size_t length;
  const uint8_t* bytes = arguments.Bytes(0, &length);
  uint64_t start = arguments.Offset(1);
  uint64_t end = arguments.Offset(2);
  uint32_t seed = 0;
  if (!arguments.ok()) return nullptr;
  if (start > end || end > length) {
    arguments.OutOfRange("the range passes the end of the buffer");
    return nullptr;
  }
  napi_get_value_uint32(env, arguments.Value(3), &seed);
  napi_value value = nullptr;
  napi_create_uint32(env, kFunction(bytes + start, static_cast<size_t>(end - start), seed), &value);
  return value;
}

napi_value RandomFill(napi_env env, napi_callback_info info) {  // (into)
  Arguments<1> arguments(env, info);
  size_t length;
  uint8_t* into = arguments.Bytes(0, &length);
  if (!arguments.ok()) return nullptr;
  return Number(env, FillRandom(into, length));
}

napi_value NameOfError(napi_env env, napi_callback_info info) {  // (errno) -> 'ENOENT'
  Arguments<1> arguments(env, info);
  int32_t error = arguments.Int(0);
  if (!arguments.ok()) return nullptr;
  char scratch[16];
  napi_value name = nullptr;
  napi_create_string_utf8(env, ErrorName(error, scratch), NAPI_AUTO_LENGTH, &name);
  return name;
}

struct Export {
  const char* name;
  napi_callback function;
};

constexpr Export kExports[] = {
    {"open", Open},
    {"close", Close},
    {"isDirect", IsDirect},
    {"size", Size},
    {"readSync", ReadSync},
    {"readPooled", ReadPooled},
    {"writeSync", WriteSync},
    {"writePooled", WritePooled},
    {"syncSync", SyncSync},
    {"syncPooled", SyncPooled},
    {"startAppends", StartAppends},
    {"appendSync", AppendSync},
    {"append", Append},
    {"appendFailureSeen", AppendFailureSeen},
    {"reservePooled", ReservePooled},
    {"allocateSync", AllocateSync},
    {"truncateSync", TruncateSync},
    {"tryLock", TryLock},
    {"unlock", Unlock},
    {"isLockedByOther", IsLockedByOther},
    {"syncFolderSync", SyncFolderSync},
    {"syncFolderPooled", SyncFolderPooled},
    {"allocate", Allocate},
    {"crc32c", Checksum<Crc32c>},
    {"crc32cPortable", Checksum<PortableCrc32c>},
    {"randomFill", RandomFill},
    {"errorName", NameOfError},
};

void DeleteAddon(napi_env, void* data, void*) { delete static_cast<Addon*>(data); }

}  // namespace

int32_t Addon::Add(std::shared_ptr<File> file) {
  if (free_.empty()) {
    files_.push_back({std::move(file), nullptr});
    return static_cast<int32_t>(files_.size() - 1);
  }
  uint32_t at = free_.back();
  free_.pop_back();
  files_[at].file = std::move(file);
  return static_cast<int32_t>(at);
}

void Addon::Remove(int32_t handle) {
  OpenFile* open = Get(handle);
  if (open == nullptr) return;
  open->log.reset();
  open->file.reset();
  free_.push_back(static_cast<uint32_t>(handle));
}

void Addon::Stop() {
  for (OpenFile& open : files_) {
    if (open.log != nullptr) open.log->Abandon();
  }
  for (OpenFile& open : files_) open.log.reset();
  completions.Stop();
}

}  // namespace sop

NAPI_MODULE_INIT() {
  sop::Addon* addon = new sop::Addon();
  if (napi_set_instance_data(env, addon, sop::DeleteAddon, nullptr) != napi_ok) {
    delete addon;
    return nullptr;
  }
  for (const sop::Export& entry : sop::kExports) {
    napi_value function;
    if (napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, addon, &function) !=
            napi_ok ||
        napi_set_named_property(env, exports, entry.name, function) != napi_ok) {
      return nullptr;
    }
  }
  napi_value version, hardware;
  napi_create_int32(env, sop::kInterfaceVersion, &version);
  napi_set_named_property(env, exports, "interfaceVersion", version);
  napi_get_boolean(env, sop::HasHardwareCrc32c(), &hardware);
  napi_set_named_property(env, exports, "hasHardwareCrc32c", hardware);
  return exports;
}
