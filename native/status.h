// How a system call's outcome travels to JavaScript: as one number, so that a call that works
// allocates nothing.
//
// A Result at or above zero is the answer (bytes read, 0 or 1, a size). A failure is -(stage << 16
// | errno), where the stage tells which step of a job of several steps failed. Windows error codes
// are turned into errno values in the line that sees them, so JavaScript knows one set of names on
// every system.
//
// Thread-safety: everything here is pure and may be called from any thread.
#ifndef SOP_NATIVE_STATUS_H_
#define SOP_NATIVE_STATUS_H_

#include <cstdint>

namespace sop {

using Result = int64_t;

enum class Stage : int { kCall = 0, kWrite = 1, kSync = 2, kRead = 3, kAllocate = 4 };

constexpr Result Failure(int error, Stage stage = Stage::kCall) {
  return -static_cast<Result>((static_cast<int>(stage) << 16) | (error & 0xffff));
}

// The same failure, told to have happened in `stage`; an answer passes unchanged.
constexpr Result At(Stage stage, Result result) {
  return result >= 0 ? result : Failure(static_cast<int>(-result) & 0xffff, stage);
}

// The failure of the system call that has just failed on this thread.
Result LastFailure();

// 'ENOENT' for ENOENT; "E<number>" is written into `scratch` (at least 16 bytes) for a value
// without a name here.
const char* ErrorName(int error, char* scratch);

}  // namespace sop

#endif  // SOP_NATIVE_STATUS_H_
