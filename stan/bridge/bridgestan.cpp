// The C functions: each catches everything and turns it into a message.

#include "model.hpp"
#include "second_order.hpp"

#include <cstdlib>
#include <cstring>

const int bs_major_version = 2;
const int bs_minor_version = 9;
const int bs_patch_version = 0;

namespace {

void report(char** error_msg, const char* function, const char* problem) noexcept {
  if (!error_msg) {
    return;
  }
  const char* separator = ": ";
  const size_t size
      = std::strlen(function) + std::strlen(separator) + std::strlen(problem) + 1;
  char* text = static_cast<char*>(std::malloc(size));
  if (text) {
    std::strcpy(text, function);
    std::strcat(text, separator);
    std::strcat(text, problem);
  }
  *error_msg = text;
}

/** Run `body`; 0, or -1 with a message if it throws. */
template <typename F>
int guarded(char** error_msg, const char* function, F&& body) noexcept {
  try {
    body();
    return 0;
  } catch (const std::exception& e) {
    report(error_msg, function, e.what());
  } catch (...) {
    report(error_msg, function, "unknown error");
  }
  return -1;
}

/** For functions that have no way to report: `otherwise` if `body` runs out of memory. */
template <typename T, typename F>
T guarded_value(T otherwise, F&& body) noexcept {
  T value = otherwise;
  guarded(nullptr, "", [&] { value = body(); });
  return value;
}

}  // namespace

extern "C" {

bs_model* bs_model_construct(const char* data, unsigned int seed, char** error_msg) {
  bs_model* model = nullptr;
  guarded(error_msg, "model_construct", [&] { model = new bs_model(data, seed); });
  return model;
}

void bs_model_destruct(bs_model* m) { delete m; }

void bs_free_error_msg(char* error_msg) { std::free(error_msg); }

const char* bs_name(const bs_model* m) { return m->name().c_str(); }

const char* bs_model_info(const bs_model* m) {
  return guarded_value("", [&] { return m->info().c_str(); });
}

const char* bs_param_names(const bs_model* m, bool include_tp, bool include_gq) {
  return guarded_value("", [&] { return m->names(include_tp, include_gq).c_str(); });
}

const char* bs_param_unc_names(const bs_model* m) { return m->unconstrained_names().c_str(); }

int bs_param_num(const bs_model* m, bool include_tp, bool include_gq) {
  return guarded_value(-1, [&] { return static_cast<int>(m->size(include_tp, include_gq)); });
}

int bs_param_unc_num(const bs_model* m) { return static_cast<int>(m->unconstrained_size()); }

int bs_param_constrain(const bs_model* m, bool include_tp, bool include_gq,
                       const double* theta_unc, double* theta, bs_rng* rng, char** error_msg) {
  return guarded(error_msg, "param_constrain",
                 [&] { m->constrain(include_tp, include_gq, theta_unc, theta, rng); });
}

int bs_param_unconstrain(const bs_model* m, const double* theta, double* theta_unc,
                         char** error_msg) {
  return guarded(error_msg, "param_unconstrain", [&] { m->unconstrain(theta, theta_unc); });
}

int bs_param_unconstrain_json(const bs_model* m, const char* json, double* theta_unc,
                              char** error_msg) {
  return guarded(error_msg, "param_unconstrain_json",
                 [&] { m->unconstrain_json(json, theta_unc); });
}

int bs_param_initialize(const bs_model* m, const char* json, bs_rng* rng, double init_radius,
                        int max_tries, bool jacobian, double* theta_unc, char** error_msg) {
  return guarded(error_msg, "param_initialize", [&] {
    if (!rng) {
      throw std::invalid_argument("an RNG is needed, and none was given");
    }
    m->initialize(json, *rng, init_radius, max_tries, jacobian, theta_unc);
  });
}

int bs_log_density(const bs_model* m, bool propto, bool jacobian, const double* theta_unc,
                   double* lp, char** error_msg) {
  return guarded(error_msg, "log_density",
                 [&] { *lp = m->log_density(propto, jacobian, theta_unc); });
}

int bs_log_density_gradient(const bs_model* m, bool propto, bool jacobian,
                            const double* theta_unc, double* lp, double* grad,
                            char** error_msg) {
  return guarded(error_msg, "log_density_gradient",
                 [&] { *lp = m->gradient(propto, jacobian, theta_unc, grad); });
}

int bs_log_density_hessian(const bs_model* m, bool propto, bool jacobian,
                           const double* theta_unc, double* lp, double* grad, double* hessian,
                           char** error_msg) {
  return guarded(error_msg, "log_density_hessian", [&] {
    *lp = bridge::hessian(*m, propto, jacobian, theta_unc, grad, hessian);
  });
}

int bs_log_density_hessian_vector_product(const bs_model* m, bool propto, bool jacobian,
                                          const double* theta_unc, const double* v, double* lp,
                                          double* hvp, char** error_msg) {
  return guarded(error_msg, "log_density_hessian_vector_product", [&] {
    *lp = bridge::hessian_vector_product(*m, propto, jacobian, theta_unc, v, hvp);
  });
}

bs_rng* bs_rng_construct(unsigned int seed, char** error_msg) {
  bs_rng* rng = nullptr;
  guarded(error_msg, "rng_construct", [&] { rng = new bs_rng(seed); });
  return rng;
}

void bs_rng_destruct(bs_rng* rng) { delete rng; }

int bs_set_print_callback(bs_print_callback callback, char**) {
  bridge::print_callback().store(callback);
  return 0;
}

}  // extern "C"
