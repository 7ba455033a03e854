// Locks on single bytes that no unrelated close can drop.
//
// Never the POSIX kind (F_SETLK): there, closing any descriptor of the file anywhere in the process
// drops the lock, and two owners inside one process do not see each other. These belong to the open
// file description (Linux since 3.15, macOS under the same names), so each File has its own, and a
// query that takes nothing exists. macOS's flock knows whole files only.
#ifndef _WIN32

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "file.h"

namespace sop {

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
  // A shared lock is asked about, since only an exclusive one stands in its way. The kernel checks
  // the descriptor's mode when a lock is set, not when one is asked about, so this works on a
  // descriptor that only reads.
  struct flock lock = ByteLock(F_RDLCK, position);
  if (LockCall(static_cast<int>(descriptor_), F_OFD_GETLK, &lock) != 0) return LastFailure();
  return lock.l_type == F_UNLCK ? 0 : 1;
}

}  // namespace sop

#endif  // !_WIN32
