#ifndef MANYMODES_BRIDGESTAN_H
#define MANYMODES_BRIDGESTAN_H

/* The C interface of a compiled Stan model: the names and signatures that BridgeStan's
 * clients bind. Every NAME_model.so built by the Makefile of this folder exports it.
 *
 * Vectors are arrays of double. "Unconstrained" vectors have bs_param_unc_num() entries,
 * constrained ones bs_param_num(). Functions with `char** error_msg` never throw: they return
 * 0, or -1 (a null pointer) after storing a message there, to be freed with
 * bs_free_error_msg(); a null `error_msg` drops the message. Log densities are in nats.
 *
 * A model may be used by several threads at once; an RNG belongs to one thread at a time.
 */

#include <stddef.h>

#ifdef __cplusplus
class bs_model;
class bs_rng;
extern "C" {
#else
#include <stdbool.h>
typedef struct bs_model bs_model;
typedef struct bs_rng bs_rng;
#endif

#define BS_PUBLIC __attribute__((visibility("default")))

/* The version of the interface, which clients compare with their own. */
BS_PUBLIC extern const int bs_major_version;
BS_PUBLIC extern const int bs_minor_version;
BS_PUBLIC extern const int bs_patch_version;

/* Receives what a Stan program prints, not null-terminated; must not throw. It is called once for
 * each print statement, at that moment and from the thread that prints: one thread at a time. It
 * may evaluate a model. */
typedef void (*bs_print_callback)(const char* text, size_t size);

/* `data`: a JSON text, the path of a file ending in ".json", or null or "" for no data.
 * `seed` is for the RNG of the transformed data block. */
BS_PUBLIC bs_model* bs_model_construct(const char* data, unsigned int seed, char** error_msg);
BS_PUBLIC void bs_model_destruct(bs_model* m);
BS_PUBLIC void bs_free_error_msg(char* error_msg);

/* Text owned by the model, valid while it lives. Names are joined by commas, indexes by dots
 * ("A.2.1"), in the order of the vectors: column-major. */
BS_PUBLIC const char* bs_name(const bs_model* m);
BS_PUBLIC const char* bs_model_info(const bs_model* m);
BS_PUBLIC const char* bs_param_names(const bs_model* m, bool include_tp, bool include_gq);
BS_PUBLIC const char* bs_param_unc_names(const bs_model* m);
BS_PUBLIC int bs_param_num(const bs_model* m, bool include_tp, bool include_gq);
BS_PUBLIC int bs_param_unc_num(const bs_model* m);

/* `rng` may be null unless include_gq. */
BS_PUBLIC int bs_param_constrain(const bs_model* m, bool include_tp, bool include_gq,
                                 const double* theta_unc, double* theta, bs_rng* rng,
                                 char** error_msg);
BS_PUBLIC int bs_param_unconstrain(const bs_model* m, const double* theta, double* theta_unc,
                                   char** error_msg);
BS_PUBLIC int bs_param_unconstrain_json(const bs_model* m, const char* json, double* theta_unc,
                                        char** error_msg);

/* Parameters that `json` (may be null) does not give are uniform on [-radius, radius), on the
 * unconstrained scale; points are drawn until the log density is finite. */
BS_PUBLIC int bs_param_initialize(const bs_model* m, const char* json, bs_rng* rng,
                                  double init_radius, int max_tries, bool jacobian,
                                  double* theta_unc, char** error_msg);

/* `propto` leaves out terms that do not depend on the parameters, `jacobian` includes the
 * log determinant of the constraining transform. propto = false is the fast one: it needs no
 * autodiff variables. The Hessian has D * D entries and is symmetric. */
BS_PUBLIC int bs_log_density(const bs_model* m, bool propto, bool jacobian,
                             const double* theta_unc, double* lp, char** error_msg);
BS_PUBLIC int bs_log_density_gradient(const bs_model* m, bool propto, bool jacobian,
                                      const double* theta_unc, double* lp, double* grad,
                                      char** error_msg);
BS_PUBLIC int bs_log_density_hessian(const bs_model* m, bool propto, bool jacobian,
                                     const double* theta_unc, double* lp, double* grad,
                                     double* hessian, char** error_msg);
BS_PUBLIC int bs_log_density_hessian_vector_product(const bs_model* m, bool propto,
                                                    bool jacobian, const double* theta_unc,
                                                    const double* v, double* lp, double* hvp,
                                                    char** error_msg);

BS_PUBLIC bs_rng* bs_rng_construct(unsigned int seed, char** error_msg);
BS_PUBLIC void bs_rng_destruct(bs_rng* rng);

/* For all models of this shared library; null goes back to standard output. */
BS_PUBLIC int bs_set_print_callback(bs_print_callback callback, char** error_msg);

#ifdef __cplusplus
}
#endif

#endif
