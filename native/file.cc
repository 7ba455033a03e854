#include "file.h"

#include <cerrno>
#include <cstring>

#include "aligned_buffer.h"

namespace sop {

namespace {

// Large enough that the device works at its full speed, small enough that an append beside it waits
// little.
constexpr size_t kZeroPiece = 256 * 1024;

bool AllZero(const uint8_t* bytes, size_t length) {
  return length == 0 || (bytes[0] == 0 && std::memcmp(bytes, bytes + 1, length - 1) == 0);
}

}  // namespace

bool File::Misaligned(const void* bytes, size_t length, uint64_t position) const {
  if (!direct()) return false;
  return ((reinterpret_cast<uintptr_t>(bytes) | length | position) & (kAlignment - 1)) != 0;
}

Result File::Read(uint8_t* into, size_t length, uint64_t position) {
  if (Misaligned(into, length, position)) return Failure(EINVAL);
  return ReadFrom(descriptor_, into, length, position);
}

Result File::Append(const uint8_t* from, size_t length, uint64_t position, uint64_t seal_position) {
  Result result = At(Stage::kWrite, Write(from, length, position));
  if (result < 0) return result;
  result = At(Stage::kSync, Sync());
  if (result < 0) return result;
  return SealIsZero(seal_position, position + length);
}

Result File::SealIsZero(uint64_t seal_position, uint64_t written_end) {
  alignas(kAlignment) uint8_t seal[kSealBytes];
  Descriptor from = seal_descriptor_ != kNone ? seal_descriptor_ : descriptor_;
  if (from == descriptor_ && Misaligned(seal, kSealBytes, seal_position))
    return Failure(EINVAL, Stage::kRead);
  Result read = ReadFrom(from, seal, kSealBytes, seal_position);
  if (read < 0) return At(Stage::kRead, read);
  // Bytes were just written behind the seal, so the file cannot end before it unless somebody cut
  // it.
  bool cut = read < static_cast<Result>(kSealBytes) && seal_position + kSealBytes <= written_end;
  if (cut) return Failure(EIO, Stage::kRead);
  return AllZero(seal, static_cast<size_t>(read)) ? 1 : 0;
}

Result File::Reserve(uint64_t position, uint64_t length) {
  if ((position | length) & (kAlignment - 1)) return Failure(EINVAL);
  // Allocation first: it is refused as a whole on a full disk, and with the size settled the writes
  // that follow leave the file's metadata alone, so that an append beside them is held up by less.
  Result result = At(Stage::kAllocate, Allocate(position, length));
  if (result < 0) return result;
  AlignedMemory zeros(kZeroPiece);
  if (zeros.data() == nullptr) return Failure(ENOMEM, Stage::kAllocate);
  for (uint64_t done = 0; done < length;) {
    uint64_t left = length - done;
    size_t piece = left < kZeroPiece ? static_cast<size_t>(left) : kZeroPiece;
    result = At(Stage::kWrite, Write(zeros.data(), piece, position + done));
    if (result < 0) return result;
    done += piece;
  }
  return At(Stage::kSync, Sync());
}

}  // namespace sop
