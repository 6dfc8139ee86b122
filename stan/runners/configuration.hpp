// The configuration of a runner: a text file of "key value" lines.

#ifndef MANYMODES_RUNNERS_CONFIGURATION_HPP
#define MANYMODES_RUNNERS_CONFIGURATION_HPP

#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>

namespace manymodes {

// Takes a key and its value; false if the runner has no such key.
using TakeEntry = std::function<bool(const std::string& key, const std::string& value)>;

// Hands over each line of a file; throws if it cannot be read or a key is unknown.
inline void read_configuration(const char* path, const TakeEntry& take) {
  std::ifstream file(path);
  if (!file) {
    throw std::runtime_error(std::string("cannot read ") + path);
  }
  std::string line;
  while (std::getline(file, line)) {
    const auto space = line.find(' ');
    const std::string key = line.substr(0, space);
    if (!take(key, space == std::string::npos ? "" : line.substr(space + 1))) {
      throw std::runtime_error("unknown key: " + key);
    }
  }
}

}  // namespace manymodes

#endif
