// A copy of a plan, aligned as the core wants it.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>

namespace cofferdam {

struct PlanCopy {
  std::unique_ptr<uint64_t[]> words;
  uint64_t size = 0;

  PlanCopy() = default;
  PlanCopy(const void* bytes, uint64_t length) : words(new uint64_t[(length + 7) / 8]), size(length) {
    memcpy(words.get(), bytes, length);
  }
  uint8_t* bytes() const { return reinterpret_cast<uint8_t*>(words.get()); }
  bool same_as(const PlanCopy& other) const {
    return size == other.size && memcmp(bytes(), other.bytes(), size) == 0;
  }
};

}  // namespace cofferdam
