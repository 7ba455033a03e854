// Files on Linux and macOS.
//
// What a durable 4 KiB append into written blocks costs, seal read included (ext4, virtio disk, p50
// of 1,500, two runs):
//   buffered pwrite + fdatasync                        145 / 152 us
//   buffered pwritev2 with RWF_DSYNC                   152 / 100
//   direct pwrite + fdatasync, seal read directly      196 / 187
//   direct pwrite + fdatasync, seal read via the cache 121 /  82
//   direct RWF_DSYNC, seal read via the cache          119 /  86
// So a direct file writes past the cache but reads its seal through a second, buffered descriptor
// wherever one kernel sees all writers (a local file system: a direct write by another process
// drops the cached page). Where other hosts may write, the seal is read directly. RWF_DSYNC gains
// nothing over fdatasync, which is the better understood promise.
#ifndef _WIN32

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "file.h"

#ifdef __linux__
#include <sys/vfs.h>
#endif

namespace sop {

namespace {

// Below what every system takes in one call (macOS refuses more than INT_MAX), and a multiple of
// the alignment.
constexpr size_t kMaxTransfer = size_t{1} << 30;

int OpenRetrying(const char* path, int flags, int permissions = 0) {
  int fd;
  do {
    fd = open(path, flags | O_CLOEXEC, permissions);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

bool IsRegular(const char* path) {
  struct stat info;
  return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

// Opens what is there without waiting for anybody: a FIFO in the place of a file would hold the
// calling thread until somebody writes to it. What it is, is for the caller to see.
int OpenExisting(const char* path, int flags) {
  int fd = OpenRetrying(path, flags | O_NONBLOCK);
  // A file that somebody has leased (Samba, NFS) is handed over after a moment.
  if (fd < 0 && errno == EWOULDBLOCK && IsRegular(path)) return OpenRetrying(path, flags);
  return fd;
}

// What is opened without waiting is read and written as usual.
int ClearNonBlocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0) return -1;
  return (flags & O_NONBLOCK) == 0 ? 0 : fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
}

// A descriptor that is closed unless released.
class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int get() const { return fd_; }
  int Release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

#ifdef __linux__
struct VolumeKind {
  bool in_memory;  // direct I/O is a pretence
  bool local;      // no other host writes behind this kernel's back
};

VolumeKind KindOf(int fd) {
  struct statfs info;
  if (fstatfs(fd, &info) != 0) return {false, false};
  switch (static_cast<uint32_t>(info.f_type)) {
    case 0x01021994:  // tmpfs
    case 0x858458f6:  // ramfs
      return {true, true};
    case 0xef53:      // ext2, ext3, ext4
    case 0x58465342:  // xfs
    case 0x9123683e:  // btrfs
    case 0xf2f52010:  // f2fs
    case 0xca451a4e:  // bcachefs
      return {false, true};
    default:
      return {false, false};
  }
}

bool SameFile(int a, int b) {
  struct stat first, second;
  if (fstat(a, &first) != 0 || fstat(b, &second) != 0) return false;
  return first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

// A direct descriptor of the file that `buffered` has open, -1 where there is none. A second open
// instead of O_DIRECT at creation, because a refusing file system leaves the created file behind
// and the caller could not tell whose it is.
int OpenDirect(const char* path, int access, int buffered) {
  OwnedFd direct(OpenExisting(path, access | O_DIRECT));
  if (direct.get() < 0 || !SameFile(direct.get(), buffered)) return -1;
  if (ClearNonBlocking(direct.get()) != 0) return -1;
  return direct.Release();
}
#endif

int SyncDescriptor(int fd) {
  int result;
  do {
#ifdef __APPLE__
    result = fcntl(fd, F_FULLFSYNC);
    // Network and some foreign volumes do not know it; fsync is the most they offer.
    if (result != 0 && (errno == ENOTSUP || errno == ENOTTY || errno == EINVAL)) result = fsync(fd);
#else
    result = fdatasync(fd);
#endif
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

Result File::Open(const char* path, Mode mode, bool want_direct, std::shared_ptr<File>* out) {
  int access = mode == Mode::kRead ? O_RDONLY : O_RDWR;
  bool creates = mode == Mode::kCreate;
  OwnedFd plain(creates ? OpenRetrying(path, access | O_CREAT | O_EXCL, 0644)
                        : OpenExisting(path, access));
  if (plain.get() < 0) return LastFailure();
  struct stat info;
  if (fstat(plain.get(), &info) != 0) return LastFailure();
  if (S_ISDIR(info.st_mode)) return Failure(EISDIR);
  if (!S_ISREG(info.st_mode)) return Failure(EINVAL);
  if (ClearNonBlocking(plain.get()) != 0) return LastFailure();

  int main = plain.get();
  int seal = static_cast<int>(kNone);
  bool direct = false;
#ifdef __linux__
  VolumeKind kind = want_direct ? KindOf(main) : VolumeKind{};
  int second = want_direct && !kind.in_memory ? OpenDirect(path, access, main) : -1;
  if (second >= 0) {
    direct = true;
    main = second;
    if (kind.local && mode != Mode::kRead) seal = plain.Release();
  } else {
    plain.Release();
  }
#else
#ifdef __APPLE__
  direct = want_direct && fcntl(main, F_NOCACHE, 1) == 0;
#endif
  plain.Release();
#endif
  out->reset(new File(main, seal, direct));
  return 0;
}

File::~File() {
  if (seal_descriptor_ != kNone) close(static_cast<int>(seal_descriptor_));
  close(static_cast<int>(descriptor_));
}

bool File::FallBackToBuffered() {
#ifdef __linux__
  int fd = static_cast<int>(descriptor_);
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0) return false;
  direct_.store(false, std::memory_order_relaxed);
  return true;
#else
  return false;
#endif
}

Result File::Size() const {
  struct stat info;
  if (fstat(static_cast<int>(descriptor_), &info) != 0) return LastFailure();
  return info.st_size;
}

Result File::ReadFrom(Descriptor descriptor, uint8_t* into, size_t length, uint64_t position) {
  int fd = static_cast<int>(descriptor);
  size_t done = 0;
  while (done < length) {
    size_t piece = length - done < kMaxTransfer ? length - done : kMaxTransfer;
    bool was_direct = descriptor == descriptor_ && direct();
    ssize_t n = pread(fd, into + done, piece, static_cast<off_t>(position + done));
    if (n > 0) {
      done += static_cast<size_t>(n);
      // A direct read stops inside a block only at the end of the file; asking on from there would
      // be misaligned.
      if (descriptor == descriptor_ && direct() && (done & (kAlignment - 1)) != 0) break;
      continue;
    }
    if (n == 0) break;
    if (errno == EINTR) continue;
    if (errno == EINVAL && was_direct && FallBackToBuffered()) continue;
    return LastFailure();
  }
  return static_cast<Result>(done);
}

Result File::Write(const uint8_t* from, size_t length, uint64_t position) {
  if (Misaligned(from, length, position)) return Failure(EINVAL);
  int fd = static_cast<int>(descriptor_);
  size_t done = 0;
  while (done < length) {
    size_t piece = length - done < kMaxTransfer ? length - done : kMaxTransfer;
    bool was_direct = direct();
    ssize_t n = pwrite(fd, from + done, piece, static_cast<off_t>(position + done));
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n == 0) {
      return Failure(EIO);
    } else if (errno != EINTR && !(errno == EINVAL && was_direct && FallBackToBuffered())) {
      return LastFailure();
    }
  }
  return 0;
}

Result File::Sync() {
  return SyncDescriptor(static_cast<int>(descriptor_)) == 0 ? 0 : LastFailure();
}

#ifdef __APPLE__
namespace {

int AllocateTo(int fd, off_t end) {
  struct stat info;
  if (fstat(fd, &info) != 0) return -1;
  if (info.st_size >= end) return 0;
  fstore_t store = {F_ALLOCATECONTIG | F_ALLOCATEALL, F_PEOFPOSMODE, 0, end - info.st_size, 0};
  if (fcntl(fd, F_PREALLOCATE, &store) == 0) return 0;
  store.fst_flags = F_ALLOCATEALL;
  return fcntl(fd, F_PREALLOCATE, &store);
}

}  // namespace
#endif

Result File::Allocate(uint64_t position, uint64_t length) {
  if (length == 0) return 0;
  int fd = static_cast<int>(descriptor_);
  int result;
  do {
#if defined(__linux__)
    result = fallocate(fd, 0, static_cast<off_t>(position), static_cast<off_t>(length));
#elif defined(__APPLE__)
    result = AllocateTo(fd, static_cast<off_t>(position + length));
#else
    result = 0;
#endif
  } while (result != 0 && errno == EINTR);
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOTSUP || errno == ENOSYS) return 0;
  return LastFailure();
}

Result File::Truncate(uint64_t size) {
  int result;
  do {
    result = ftruncate(static_cast<int>(descriptor_), static_cast<off_t>(size));
  } while (result != 0 && errno == EINTR);
  return result == 0 ? 0 : LastFailure();
}

Result SyncFolder(const char* path) {
  OwnedFd folder(OpenRetrying(path, O_RDONLY | O_DIRECTORY));
  if (folder.get() < 0) return LastFailure();
  int result;
  do {
    result = fsync(folder.get());
  } while (result != 0 && errno == EINTR);
  if (result == 0) return 0;
  // Some network file systems make folder changes durable by themselves and refuse the call.
  return errno == EINVAL || errno == EBADF || errno == ENOTSUP ? 0 : LastFailure();
}

}  // namespace sop

#endif  // !_WIN32
