#ifndef MANYMODES_BRIDGE_CONTEXT_HPP
#define MANYMODES_BRIDGE_CONTEXT_HPP

// Where a model reads its data and initial values from.

#include <stan/io/var_context.hpp>
#if __has_include(<stan/io/json/json_data.hpp>)
#include <stan/io/json/json_data.hpp>
namespace bridge {
using json_data = stan::json::json_data;
}
#else
#include <cmdstan/io/json/json_data.hpp>
namespace bridge {
using json_data = cmdstan::json::json_data;
}
#endif

#include <complex>
#include <fstream>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace bridge {

using dimensions = std::vector<size_t>;

inline size_t element_count(const dimensions& dims) {
  return std::accumulate(dims.begin(), dims.end(), size_t{1}, std::multiplies<size_t>());
}

/**
 * Stan's JSON reader, made strict: Stan lets an empty array stand for a variable of any size
 * and would then read past its end.
 */
class json_context : public json_data {
 public:
  explicit json_context(std::istream& in) : json_data(in) {}

  void validate_dims(const std::string& stage, const std::string& name,
                     const std::string& base_type, const dimensions& declared) const {
    json_data::validate_dims(stage, name, base_type, declared);
    const dimensions found = this->dims_r(name);
    if (this->contains_r(name) && element_count(found) == 0 && element_count(declared) != 0) {
      throw std::runtime_error("mismatch in dimension declared and found in context; processing stage="
                               + stage + "; variable name=" + name + "; dims declared="
                               + describe(declared) + "; dims found=" + describe(found));
    }
  }

 private:
  static std::string describe(const dimensions& dims) {
    std::ostringstream text;
    text << '(';
    for (size_t i = 0; i < dims.size(); ++i) {
      text << (i ? "," : "") << dims[i];
    }
    text << ')';
    return text.str();
  }
};

/** Parse JSON text; with `allow_path`, text that ends in ".json" names a file. */
inline json_context read_json(const std::string& text, bool allow_path = false) {
  const std::string suffix = ".json";
  if (allow_path && text.size() >= suffix.size()
      && text.compare(text.size() - suffix.size(), suffix.size(), suffix) == 0) {
    std::ifstream file(text);
    if (!file) {
      throw std::runtime_error("cannot read the data file " + text);
    }
    return json_context(file);
  }
  std::istringstream stream(text);
  return json_context(stream);
}

/** A parameter's name, its dimensions and where its values start in a constrained vector. */
struct parameter {
  std::string name;
  dimensions dims;
  size_t start;
  size_t size;
};

/** Constrained parameter values as a model reads them; `given`, if any, takes precedence. */
class parameter_values : public stan::io::var_context {
 public:
  parameter_values(const std::vector<parameter>& parameters, const double* values,
                   const stan::io::var_context* given = nullptr)
      : parameters_(parameters), values_(values), given_(given) {}

  bool contains_r(const std::string& name) const {
    return is_given(name) || find(name) != nullptr;
  }
  std::vector<double> vals_r(const std::string& name) const {
    if (is_given(name)) {
      return given_->vals_r(name);
    }
    const parameter* p = find(name);
    return p ? std::vector<double>(values_ + p->start, values_ + p->start + p->size)
             : std::vector<double>();
  }
  std::vector<std::complex<double>> vals_c(const std::string& name) const {
    const std::vector<double> parts = vals_r(name);  // all real parts, then all imaginary ones
    const size_t n = parts.size() / 2;
    std::vector<std::complex<double>> values;
    for (size_t i = 0; i < n; ++i) {
      values.emplace_back(parts[i], parts[n + i]);
    }
    return values;
  }
  dimensions dims_r(const std::string& name) const {
    if (is_given(name)) {
      return given_->dims_r(name);
    }
    const parameter* p = find(name);
    return p ? p->dims : dimensions();
  }
  void names_r(std::vector<std::string>& names) const {
    names.clear();
    for (const parameter& p : parameters_) {
      names.push_back(p.name);
    }
  }
  void validate_dims(const std::string& stage, const std::string& name,
                     const std::string& base_type, const dimensions& declared) const {
    if (is_given(name)) {
      given_->validate_dims(stage, name, base_type, declared);
    }
  }

  // Parameters have no integers.
  bool contains_i(const std::string&) const { return false; }
  std::vector<int> vals_i(const std::string&) const { return {}; }
  dimensions dims_i(const std::string&) const { return {}; }
  void names_i(std::vector<std::string>& names) const { names.clear(); }

 private:
  const std::vector<parameter>& parameters_;
  const double* values_;
  const stan::io::var_context* given_;

  bool is_given(const std::string& name) const { return given_ && given_->contains_r(name); }

  const parameter* find(const std::string& name) const {
    for (const parameter& p : parameters_) {
      if (p.name == name) {
        return &p;
      }
    }
    return nullptr;
  }
};

}  // namespace bridge

#endif
