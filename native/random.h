// Random bytes of the operating system.
//
// Here and not left to the runtime, because loading its crypto module takes 3 ms of the 5 that
// opening a database may. Thread-safety: any thread.
#ifndef SOP_NATIVE_RANDOM_H_
#define SOP_NATIVE_RANDOM_H_

#include <cstddef>
#include <cstdint>

#include "status.h"

namespace sop {

Result FillRandom(uint8_t* into, size_t length);

}  // namespace sop

#endif  // SOP_NATIVE_RANDOM_H_
