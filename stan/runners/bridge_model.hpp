// A compiled Stan program with its data, through BridgeStan's C interface.

#ifndef MANYMODES_RUNNERS_BRIDGE_MODEL_HPP
#define MANYMODES_RUNNERS_BRIDGE_MODEL_HPP

#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <string>

namespace manymodes {

inline void* open_library(const std::string& path, int flags) {
  void* handle = dlopen(path.c_str(), flags);
  if (handle == nullptr) {
    throw std::runtime_error(dlerror());
  }
  return handle;
}

template <typename Function>
Function symbol(void* library, const char* name) {
  void* address = dlsym(library, name);
  if (address == nullptr) {
    throw std::runtime_error(std::string("missing symbol ") + name);
  }
  return reinterpret_cast<Function>(address);
}

// The density of the program on the unconstrained space, with all constants and the
// Jacobian. Where it throws or is no number it counts as zero, and is counted.
class BridgeModel {
 public:
  void open(const std::string& library_path, const std::string& data_path, unsigned seed) {
    std::ifstream file(data_path);
    if (!file) {
      throw std::runtime_error("cannot read " + data_path);
    }
    std::stringstream data;
    data << file.rdbuf();
    void* library = open_library(library_path, RTLD_NOW);
    using Construct = void* (*)(const char*, unsigned int, char**);
    using Size = int (*)(const void*);
    char* error = nullptr;
    model_ = symbol<Construct>(library, "bs_model_construct")(data.str().c_str(), seed, &error);
    if (model_ == nullptr) {
      throw std::runtime_error(error ? error : "the model cannot be constructed");
    }
    dims_ = static_cast<std::size_t>(symbol<Size>(library, "bs_param_unc_num")(model_));
    log_density_ = symbol<LogDensity>(library, "bs_log_density");
    gradient_ = symbol<Gradient>(library, "bs_log_density_gradient");
    free_error_ = symbol<FreeError>(library, "bs_free_error_msg");
  }

  std::size_t dims() const { return dims_; }

  // The log density, or minus infinity.
  double log_density(const double* eta) {
    double value = 0.0;
    char* error = nullptr;
    const int status = log_density_(model_, false, true, eta, &value, &error);
    return checked(status, value, error);
  }

  // The log density, or minus infinity; then the gradient is not to be used.
  double log_density_gradient(const double* eta, double* gradient) {
    double value = 0.0;
    char* error = nullptr;
    const int status = gradient_(model_, false, true, eta, &value, gradient, &error);
    value = checked(status, value, error);
    for (std::size_t i = 0; std::isfinite(value) && i < dims_; ++i) {
      if (!std::isfinite(gradient[i])) {
        value = failed("the gradient of the density is not finite");
      }
    }
    return value;
  }

  std::int64_t evaluations = 0;
  std::int64_t outside = 0;   // density exactly zero
  std::int64_t failures = 0;  // exception, not a number, infinity
  std::string first_failure;

 private:
  using LogDensity = int (*)(const void*, bool, bool, const double*, double*, char**);
  using Gradient = int (*)(const void*, bool, bool, const double*, double*, double*, char**);
  using FreeError = void (*)(char*);

  double checked(int status, double value, char* error) {
    ++evaluations;
    if (status != 0) {
      value = failed(error ? error : "the density threw");
      if (error) free_error_(error);
      return value;
    }
    if (std::isnan(value)) {
      return failed("the density is not a number");
    }
    if (value == std::numeric_limits<double>::infinity()) {
      return failed("the density is infinite");
    }
    outside += value == -std::numeric_limits<double>::infinity();
    return value;
  }

  double failed(const char* message) {
    if (failures++ == 0) {
      first_failure = message;
    }
    return -std::numeric_limits<double>::infinity();
  }

  const void* model_ = nullptr;
  std::size_t dims_ = 0;
  LogDensity log_density_ = nullptr;
  Gradient gradient_ = nullptr;
  FreeError free_error_ = nullptr;
};

}  // namespace manymodes

#endif
