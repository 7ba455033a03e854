// Locks on single bytes that no unrelated close can drop.
//
// Never the POSIX kind (F_SETLK): there, closing any descriptor of the file anywhere in the process drops the lock, and two
// owners inside one process do not see each other. Linux has locks of the open file description. macOS offers only
// whole-file flock publicly, so there each byte is a companion file `<path>.<position>` that carries the flock.
#ifndef _WIN32

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "file.h"

namespace sop {

#ifdef __linux__

namespace {

struct flock ByteLock(short type, uint64_t position) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(position);
  lock.l_len = 1;
  return lock;
}

int LockCall(int fd, int command, struct flock* lock) {
  int result;
  do {
    result = fcntl(fd, command, lock);
  } while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

Result File::TryLock(bool exclusive, uint64_t position) {
  struct flock lock = ByteLock(exclusive ? F_WRLCK : F_RDLCK, position);
  if (LockCall(static_cast<int>(descriptor_), F_OFD_SETLK, &lock) == 0) return 1;
  return errno == EAGAIN || errno == EACCES ? 0 : LastFailure();
}

Result File::Unlock(uint64_t position) {
  struct flock lock = ByteLock(F_UNLCK, position);
  return LockCall(static_cast<int>(descriptor_), F_OFD_SETLK, &lock) == 0 ? 0 : LastFailure();
}

Result File::IsLockedByOther(uint64_t position) {
  // A shared lock is asked about, since only an exclusive one stands in its way. The kernel checks the descriptor's mode
  // when a lock is set, not when one is asked about, so this works on a descriptor that only reads.
  struct flock lock = ByteLock(F_RDLCK, position);
  if (LockCall(static_cast<int>(descriptor_), F_OFD_GETLK, &lock) != 0) return LastFailure();
  return lock.l_type == F_UNLCK ? 0 : 1;
}

#else

namespace {

int OpenCompanion(const std::vector<char>& path, uint64_t position, bool create) {
  std::vector<char> name(path.size() + 24);
  std::snprintf(name.data(), name.size(), "%s.%llu", path.data(), static_cast<unsigned long long>(position));
  int fd;
  do {
    fd = open(name.data(), (create ? O_RDWR | O_CREAT : O_RDONLY) | O_CLOEXEC, 0644);
  } while (fd < 0 && errno == EINTR);
  return fd;
}

// 1 held, 0 refused, or the failure.
Result TryFlock(int fd, int kind) {
  int result;
  do {
    result = flock(fd, kind | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return 1;
  return errno == EWOULDBLOCK ? 0 : LastFailure();
}

}  // namespace

Result File::TryLock(bool exclusive, uint64_t position) {
  HeldLock* held = FindLock(position);
  int fd = held != nullptr ? static_cast<int>(held->companion) : OpenCompanion(path_, position, true);
  if (fd < 0) return LastFailure();
  Result result = TryFlock(fd, exclusive ? LOCK_EX : LOCK_SH);
  if (result == 1) {
    if (held != nullptr) {
      held->exclusive = exclusive;
    } else {
      locks_.push_back({position, exclusive, fd});
    }
    return 1;
  }
  if (held == nullptr) {
    close(fd);
    return result;
  }
  // A conversion that is refused gives the old lock up; take it back, or own up to having lost it.
  if (TryFlock(fd, held->exclusive ? LOCK_EX : LOCK_SH) == 1) return result;
  close(fd);
  ForgetLock(position);
  return Failure(ENOLCK);
}

Result File::Unlock(uint64_t position) {
  HeldLock* held = FindLock(position);
  if (held == nullptr) return 0;
  close(static_cast<int>(held->companion));
  ForgetLock(position);
  return 0;
}

Result File::IsLockedByOther(uint64_t position) {
  HeldLock* held = FindLock(position);
  // While this File holds the byte, nobody else can hold it exclusively.
  if (held != nullptr) return 0;
  int fd = OpenCompanion(path_, position, false);
  if (fd < 0) return errno == ENOENT ? 0 : LastFailure();
  // flock cannot be asked, only tried: a shared lock for an instant, which closing gives back.
  Result result = TryFlock(fd, LOCK_SH);
  close(fd);
  return result < 0 ? result : 1 - result;
}

#endif

}  // namespace sop

#endif  // !_WIN32
