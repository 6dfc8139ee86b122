// Random numbers whose state can be written to a file.

#ifndef MANYMODES_RUNNERS_RANDOM_HPP
#define MANYMODES_RUNNERS_RANDOM_HPP

#include <array>
#include <cstdint>

#include "runners/base_measure.hpp"

namespace manymodes {

// xoshiro256++ (Blackman and Vigna 2021, ACM Transactions on Mathematical Software 47(4)),
// seeded by splitmix64 as its authors advise.
class Random {
 public:
  explicit Random(std::uint64_t seed) {
    for (std::uint64_t& word : words) {
      seed += 0x9e3779b97f4a7c15u;
      std::uint64_t z = seed;
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      word = z ^ (z >> 31);
    }
  }

  std::uint64_t bits() {
    const std::uint64_t result = turned(words[0] + words[3], 23) + words[0];
    const std::uint64_t shifted = words[1] << 17;
    words[2] ^= words[0];
    words[3] ^= words[1];
    words[1] ^= words[2];
    words[0] ^= words[3];
    words[2] ^= shifted;
    words[3] = turned(words[3], 45);
    return result;
  }

  // In the open unit interval.
  double uniform() { return (static_cast<double>(bits() >> 12) + 0.5) * kEpsilon; }

  double normal() { return normal_quantile(uniform()); }

  // A whole number below n.
  std::size_t below(std::size_t n) {
    return static_cast<std::size_t>(uniform() * static_cast<double>(n));
  }

  std::array<std::uint64_t, 4> words;

 private:
  static std::uint64_t turned(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }
};

}  // namespace manymodes

#endif
