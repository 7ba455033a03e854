#include "crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__) || defined(_M_X64)
#define SOP_CRC_X64 1
#if defined(_MSC_VER) && !defined(__clang__)
#define SOP_CRC_MSVC 1
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#include <nmmintrin.h>
#elif defined(__aarch64__)
#define SOP_CRC_ARM64 1
#include <arm_acle.h>
#if defined(__linux__)
#include <sys/auxv.h>
#elif defined(_WIN32)
#include <windows.h>
#endif
#endif

namespace sop {

namespace {

// Polynomials over GF(2) modulo the Castagnoli one, reflected: the top bit is x^0, the lowest x^31.
constexpr uint32_t kPolynomial = 0x82f63b78;

constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 0x80000000; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b & 1) ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

// x^(8 * bytes): what a CRC is multiplied by when so many bytes follow it.
constexpr uint32_t Shift(size_t bytes) {
  uint32_t result = 0x80000000;
  uint32_t square = 0x00800000;  // x^8
  for (; bytes != 0; bytes >>= 1) {
    if (bytes & 1) result = Multiply(result, square);
    square = Multiply(square, square);
  }
  return result;
}

template <size_t kRows>
using Table = std::array<std::array<uint32_t, 256>, kRows>;

// table[k][v]: CRC register after byte v and then k zero bytes.
constexpr Table<8> BuildByteTable() {
  Table<8> table{};
  for (uint32_t v = 0; v < 256; v++) {
    uint32_t crc = v;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1) ? (crc >> 1) ^ kPolynomial : crc >> 1;
    table[0][v] = crc;
  }
  for (size_t k = 1; k < 8; k++) {
    for (size_t v = 0; v < 256; v++)
      table[k][v] = (table[k - 1][v] >> 8) ^ table[0][table[k - 1][v] & 0xff];
  }
  return table;
}

constexpr Table<8> kBytes = BuildByteTable();

uint64_t LoadWord(const uint8_t* from) {
  uint64_t word;
  std::memcpy(&word, from, 8);
  return word;
}

#if defined(SOP_CRC_X64) || defined(SOP_CRC_ARM64)

// The instruction takes three cycles but starts every cycle, so three lanes run side by side and
// are joined by moving the CRC of the earlier lanes over the bytes of the later ones. 3 x 1360 =
// 4080 fits a 4 KiB block.
constexpr size_t kLongLane = 1360;
constexpr size_t kShortLane = 128;

// table[k][v]: the register value v << 8k moved over `bytes` zero bytes. Linear, so 32 products
// give all entries.
constexpr Table<4> BuildShiftTable(size_t bytes) {
  Table<4> table{};
  const uint32_t factor = Shift(bytes);
  for (size_t k = 0; k < 4; k++) {
    for (size_t bit = 0; bit < 8; bit++) {
      const uint32_t moved = Multiply(uint32_t{1} << (8 * k + bit), factor);
      for (size_t v = size_t{1} << bit; v < (size_t{2} << bit); v++) {
        table[k][v] = moved ^ table[k][v ^ (size_t{1} << bit)];
      }
    }
  }
  return table;
}

constexpr Table<4> kLongShift = BuildShiftTable(kLongLane);
constexpr Table<4> kShortShift = BuildShiftTable(kShortLane);

uint32_t Moved(const Table<4>& table, uint32_t crc) {
  return table[0][crc & 0xff] ^ table[1][(crc >> 8) & 0xff] ^ table[2][(crc >> 16) & 0xff] ^
         table[3][crc >> 24];
}

#if defined(SOP_CRC_X64)
#if defined(SOP_CRC_MSVC)
#define SOP_CRC_TARGET  // every instruction is at hand there
#elif defined(__clang__)
#define SOP_CRC_TARGET __attribute__((target("sse4.2,crc32")))
#else
#define SOP_CRC_TARGET __attribute__((target("sse4.2")))
#endif
#define SOP_CRC_WORD(crc, word) static_cast<uint32_t>(_mm_crc32_u64(crc, word))
#define SOP_CRC_BYTE(crc, byte) _mm_crc32_u8(crc, byte)
#else
#if defined(__clang__)
#define SOP_CRC_TARGET __attribute__((target("crc")))
#else
#define SOP_CRC_TARGET __attribute__((target("+crc")))
#endif
#define SOP_CRC_WORD(crc, word) __crc32cd(crc, word)
#define SOP_CRC_BYTE(crc, byte) __crc32cb(crc, byte)
#endif

template <size_t kLane>
SOP_CRC_TARGET inline uint32_t ThreeLanes(const uint8_t* bytes, uint32_t crc,
                                          const Table<4>& shift) {
  uint32_t second = 0;
  uint32_t third = 0;
  for (size_t i = 0; i < kLane; i += 8) {
    crc = SOP_CRC_WORD(crc, LoadWord(bytes + i));
    second = SOP_CRC_WORD(second, LoadWord(bytes + kLane + i));
    third = SOP_CRC_WORD(third, LoadWord(bytes + 2 * kLane + i));
  }
  return Moved(shift, Moved(shift, crc) ^ second) ^ third;
}

SOP_CRC_TARGET uint32_t HardwareCrc32c(const uint8_t* bytes, size_t length, uint32_t seed) {
  uint32_t crc = ~seed;
  for (; length >= 3 * kLongLane; bytes += 3 * kLongLane, length -= 3 * kLongLane) {
    crc = ThreeLanes<kLongLane>(bytes, crc, kLongShift);
  }
  for (; length >= 3 * kShortLane; bytes += 3 * kShortLane, length -= 3 * kShortLane) {
    crc = ThreeLanes<kShortLane>(bytes, crc, kShortShift);
  }
  for (; length >= 8; bytes += 8, length -= 8) crc = SOP_CRC_WORD(crc, LoadWord(bytes));
  for (; length > 0; bytes++, length--) crc = SOP_CRC_BYTE(crc, *bytes);
  return ~crc;
}

bool DetectHardware() {
#if defined(SOP_CRC_MSVC)
  int registers[4];
  __cpuid(registers, 1);
  return (registers[2] & (1 << 20)) != 0;
#elif defined(SOP_CRC_X64)
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & (1u << 20)) != 0;
#elif defined(__linux__)
  return (getauxval(AT_HWCAP) & (1ul << 7)) != 0;  // HWCAP_CRC32
#elif defined(_WIN32)
  return IsProcessorFeaturePresent(31) != 0;  // PF_ARM_V8_CRC32_INSTRUCTIONS_AVAILABLE
#else
  return true;  // every Mac with an ARM processor
#endif
}

#else

uint32_t HardwareCrc32c(const uint8_t* bytes, size_t length, uint32_t seed) {
  return PortableCrc32c(bytes, length, seed);
}

bool DetectHardware() { return false; }

#endif

}  // namespace

// All systems this module is built for are little-endian.
uint32_t PortableCrc32c(const uint8_t* bytes, size_t length, uint32_t seed) {
  uint32_t crc = ~seed;
  for (; length >= 8; bytes += 8, length -= 8) {
    const uint64_t word = LoadWord(bytes) ^ crc;
    crc = kBytes[7][word & 0xff] ^ kBytes[6][(word >> 8) & 0xff] ^ kBytes[5][(word >> 16) & 0xff] ^
          kBytes[4][(word >> 24) & 0xff] ^ kBytes[3][(word >> 32) & 0xff] ^
          kBytes[2][(word >> 40) & 0xff] ^ kBytes[1][(word >> 48) & 0xff] ^ kBytes[0][word >> 56];
  }
  for (; length > 0; bytes++, length--) crc = (crc >> 8) ^ kBytes[0][(crc ^ *bytes) & 0xff];
  return ~crc;
}

bool HasHardwareCrc32c() {
  static const bool has = DetectHardware();
  return has;
}

uint32_t Crc32c(const uint8_t* bytes, size_t length, uint32_t seed) {
  return HasHardwareCrc32c() ? HardwareCrc32c(bytes, length, seed)
                             : PortableCrc32c(bytes, length, seed);
}

}  // namespace sop
