// What was learned at each temperature, as a tempered run keeps it.

#ifndef MANYMODES_TEMPERED_KERNEL_ARRAYS_HPP
#define MANYMODES_TEMPERED_KERNEL_ARRAYS_HPP

#include <stdexcept>
#include <vector>

#include "runners/arrays.hpp"
#include "tempered/hmc.hpp"

namespace manymodes {

inline std::vector<Kernel> read_kernels(const Arrays& from, std::size_t count,
                                        Eigen::Index dims) {
  if (from.at("next_scale").size() != count * static_cast<std::size_t>(dims)) {
    throw std::runtime_error("the ladder is of another program");
  }
  const double *centre = from.at("next_centre").data(), *scale = from.at("next_scale").data();
  const double *gains = from.at("next_gains").data(), *vectors = from.at("next_vectors").data();
  std::vector<Kernel> kernels(count);
  for (std::size_t i = 0; i < count; ++i, centre += dims, scale += dims) {
    Kernel& kernel = kernels[i];
    kernel.step = from.at("next_step").at(i);
    kernel.steps = from.at("next_steps").at(i);
    kernel.centre = Eigen::Map<const VectorXd>(centre, dims);
    kernel.metric.scale = Eigen::Map<const VectorXd>(scale, dims);
    const auto rank = static_cast<Eigen::Index>(from.at("next_rank").at(i));
    kernel.metric.gains = Eigen::Map<const VectorXd>(gains, rank);
    kernel.metric.vectors = Eigen::Map<const MatrixXd>(vectors, dims, rank);
    kernel.metric.finish();
    gains += rank;
    vectors += rank * dims;
  }
  return kernels;
}

}  // namespace manymodes

#endif
