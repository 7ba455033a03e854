#include "random.h"

#include <cerrno>

#if defined(_WIN32)
// The order matters: the second header needs the types of the first.
// clang-format off
#include <windows.h>
#include <bcrypt.h>
// clang-format on
#else
#include <sys/random.h>
#endif

namespace sop {

Result FillRandom(uint8_t* into, size_t length) {
  // No more than 256 bytes at once: so much every system gives whole.
  for (size_t done = 0; done < length;) {
    size_t piece = length - done < 256 ? length - done : 256;
#if defined(_WIN32)
    NTSTATUS status = BCryptGenRandom(nullptr, into + done, static_cast<ULONG>(piece),
                                      BCRYPT_USE_SYSTEM_PREFERRED_RNG);
    if (status < 0) return Failure(EIO);
    done += piece;
#elif defined(__APPLE__)
    if (getentropy(into + done, piece) != 0) return LastFailure();
    done += piece;
#else
    ssize_t got = getrandom(into + done, piece, 0);
    if (got > 0) {
      done += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      return LastFailure();
    }
#endif
  }
  return 0;
}

}  // namespace sop
