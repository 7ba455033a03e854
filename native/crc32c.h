// CRC32C (Castagnoli): by the processor's own instruction where it has one (found out at the first
// call), else by tables.
//
// Thread-safety: any thread.
#ifndef SOP_NATIVE_CRC32C_H_
#define SOP_NATIVE_CRC32C_H_

#include <cstddef>
#include <cstdint>

namespace sop {

// The CRC of `length` bytes that follow bytes whose CRC is `seed` (0 at the start).
uint32_t Crc32c(const uint8_t* bytes, size_t length, uint32_t seed);

// The table-driven form, for tests and for processors without the instruction.
uint32_t PortableCrc32c(const uint8_t* bytes, size_t length, uint32_t seed);

bool HasHardwareCrc32c();

}  // namespace sop

#endif  // SOP_NATIVE_CRC32C_H_
