// One open file: positional reads and writes, syncs, space and byte-range locks. file.cc holds what
// is the same on every system, file_<system>.cc and file_lock_<system>.cc the rest.
//
// Ownership: a File owns its descriptors and closes them in its destructor; it is held by
// shared_ptr, one share for the JavaScript object and one for each job under way, so that a close
// never pulls a descriptor from under a job. Thread-safety: Read, Write, Sync, Append, Reserve,
// Allocate, Truncate and Size may be called from several threads at once. The lock calls are for
// the JavaScript thread alone.
//
// Direct I/O: positions, lengths and buffer addresses are then multiples of kAlignment (checked,
// EINVAL). A file system that refuses, at open or at the first transfer, leaves the file buffered;
// `direct()` tells.
#ifndef SOP_NATIVE_FILE_H_
#define SOP_NATIVE_FILE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "status.h"

namespace sop {

inline constexpr size_t kAlignment = 4096;
inline constexpr size_t kSealBytes = 4096;

class File {
 public:
  enum class Mode : int { kRead = 0, kWrite = 1, kCreate = 2 };

  // `path` is UTF-8 and absolute.
  static Result Open(const char* path, Mode mode, bool want_direct, std::shared_ptr<File>* out);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  bool direct() const { return direct_.load(std::memory_order_relaxed); }
  Result Size() const;

  // Bytes read, fewer than `length` only at the end of the file.
  Result Read(uint8_t* into, size_t length, uint64_t position);
  // 0 after all of it is written.
  Result Write(const uint8_t* from, size_t length, uint64_t position);
  // Data and size durable.
  Result Sync();
  // Whether the seal is all zero (1) or not (0), read after `Write` and `Sync` of this call.
  Result Append(const uint8_t* from, size_t length, uint64_t position, uint64_t seal_position);
  // The last step of Append alone, for the log thread, which syncs once for several writes.
  Result SealIsZero(uint64_t seal_position, uint64_t written_end);
  // Allocated, zero-filled and durable.
  Result Reserve(uint64_t position, uint64_t length);
  // Allocated if the file system can; 0 also where it cannot.
  Result Allocate(uint64_t position, uint64_t length);
  Result Truncate(uint64_t size);

  // 1 where the lock on the byte is held now, 0 where somebody else's stands in the way.
  Result TryLock(bool exclusive, uint64_t position);
  Result Unlock(uint64_t position);
  Result IsLockedByOther(uint64_t position);

 private:
  // fd or HANDLE.
  using Descriptor = intptr_t;
  static constexpr Descriptor kNone = -1;

#ifdef _WIN32
  struct HeldLock {
    uint64_t position;
    bool exclusive;
  };
  HeldLock* FindLock(uint64_t position);
  void ForgetLock(uint64_t position);
  // A handle's locks conflict with those of the same handle there, so what is held must be known.
  std::vector<HeldLock> locks_;
#endif

  File(Descriptor descriptor, Descriptor seal_descriptor, bool direct)
      : descriptor_(descriptor), seal_descriptor_(seal_descriptor), direct_(direct) {}

  bool Misaligned(const void* bytes, size_t length, uint64_t position) const;
  Result ReadFrom(Descriptor descriptor, uint8_t* into, size_t length, uint64_t position);
  // Turns direct I/O off after the file system refused a transfer that was direct; false where that
  // cannot be done. Also where it is off by now: several transfers may be refused at once.
  bool FallBackToBuffered();

  Descriptor descriptor_;
  // A second, buffered descriptor of a direct file on a local file system, for the seal; kNone
  // elsewhere. See file_posix.cc.
  Descriptor seal_descriptor_;
  std::atomic<bool> direct_;
};

// Makes the entries of a folder durable; nothing to do on Windows.
Result SyncFolder(const char* path);

}  // namespace sop

#endif  // SOP_NATIVE_FILE_H_
