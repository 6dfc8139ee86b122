// A file of named arrays of doubles: "NAME COUNT\n", then the numbers, for each.

#ifndef MANYMODES_RUNNERS_ARRAYS_HPP
#define MANYMODES_RUNNERS_ARRAYS_HPP

#include <cstddef>
#include <fstream>
#include <map>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "runners/child.hpp"

namespace manymodes {

class Arrays {
 public:
  std::vector<double>& operator[](const std::string& name) { return arrays_[name]; }

  const std::vector<double>& at(const std::string& name) const {
    const auto found = arrays_.find(name);
    if (found == arrays_.end()) {
      throw std::runtime_error("the checkpoint has no " + name);
    }
    return found->second;
  }

  void add(const std::string& name, const double* begin, std::size_t count) {
    std::vector<double>& all = arrays_[name];
    all.insert(all.end(), begin, begin + count);
  }

  void write(const std::string& path) const {
    replace_file(path, [this](std::ostream& out) {
      for (const auto& one : arrays_) {
        out << one.first << ' ' << one.second.size() << '\n';
        out.write(reinterpret_cast<const char*>(one.second.data()),
                  static_cast<std::streamsize>(sizeof(double) * one.second.size()));
      }
    });
  }

  // Returns false if there is no such file.
  bool read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) {
      return false;
    }
    std::string name;
    std::size_t count = 0;
    while (in >> name >> count) {
      in.get();
      std::vector<double>& all = arrays_[name];
      all.resize(count);
      in.read(reinterpret_cast<char*>(all.data()),
              static_cast<std::streamsize>(sizeof(double) * count));
      if (!in) {
        throw std::runtime_error("the checkpoint " + path + " is cut off");
      }
    }
    return true;
  }

 private:
  std::map<std::string, std::vector<double>> arrays_;
};

}  // namespace manymodes

#endif
