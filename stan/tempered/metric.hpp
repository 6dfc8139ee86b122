// The metric of Hamiltonian Monte Carlo, learned from gradients.
//
// The mean of g g' over a density, g the gradient of its logarithm, is the mean of its
// curvature (Fisher's identity). Distances between copies of a mode do not enter it, as
// they do the covariance of draws, so that it is local though many modes were visited.
// The metric is M = s^-1 C s^-1: s^-2 the diagonal of that mean, C its correlation matrix,
// of which the eigenvectors are kept whose eigenvalue is far from one. If most of them are,
// the matrix itself is stored. Momenta are white, and positions move by A r with
// A A' = M^-1.

#ifndef MANYMODES_TEMPERED_METRIC_HPP
#define MANYMODES_TEMPERED_METRIC_HPP

#include <Eigen/Dense>
#include <Eigen/Eigenvalues>

#include <algorithm>
#include <cmath>
#include <vector>

namespace manymodes {

using Eigen::MatrixXd;
using Eigen::VectorXd;

enum class MetricKind { diagonal, dense };

class Metric {
 public:
  VectorXd scale;    // s, shape (D)
  MatrixXd vectors;  // U, shape (D, k)
  VectorXd gains;    // eigenvalues^(-1/2) - 1, shape (k)

  void reset(const VectorXd& scales) {
    scale = scales;
    vectors.resize(scales.size(), 0);
    gains.resize(0);
    finish();
  }

  // Prepares the application after the parts were set.
  void finish() {
    const bool full = 2 * gains.size() > scale.size();
    matrix_.resize(0, 0);
    if (full) {
      matrix_ = vectors * gains.asDiagonal() * vectors.transpose();
      matrix_.diagonal().array() += 1.0;
      matrix_ = scale.asDiagonal() * matrix_;
    }
  }

  // A r into `out`.
  void apply(const VectorXd& r, VectorXd* out) const {
    if (matrix_.size()) {
      out->noalias() = matrix_ * r;
      return;
    }
    *out = r;
    if (gains.size()) {
      out->noalias() += vectors * gains.cwiseProduct(vectors.transpose() * r);
    }
    out->array() *= scale.array();
  }

  // A' g into `out`.
  void apply_transpose(const VectorXd& g, VectorXd* out) const {
    if (matrix_.size()) {
      out->noalias() = matrix_.transpose() * g;
      return;
    }
    *out = g.cwiseProduct(scale);
    if (gains.size()) {
      const VectorXd along = gains.cwiseProduct(vectors.transpose() * *out);
      out->noalias() += vectors * along;
    }
  }

  // Learns from gradients, the columns of `g`. `before` is the metric so far, which counts
  // as much as `kOwn` gradients.
  void learn(const MatrixXd& g, const VectorXd& before, MetricKind kind) {
    const auto n = static_cast<double>(g.cols());
    VectorXd second = g.rowwise().squaredNorm() + kOwn * before.cwiseInverse().cwiseAbs2();
    second /= n + kOwn;
    scale = second.cwiseMax(kLeast).cwiseSqrt().cwiseInverse();
    vectors.resize(g.rows(), 0);
    gains.resize(0);
    if (kind == MetricKind::dense && g.cols() >= kFewest) {
      learn_correlation(g);
    }
    finish();
  }

 private:
  static constexpr double kOwn = 4.0;
  static constexpr double kLeast = 1e-200;
  static constexpr Eigen::Index kFewest = 30;
  static constexpr double kFar = 1.5;  // an eigenvalue by this factor from one is kept

  void learn_correlation(const MatrixXd& g) {
    const Eigen::Index dims = g.rows(), n = g.cols();
    const MatrixXd white = scale.asDiagonal() * g / std::sqrt(static_cast<double>(n));
    // Gradients of few draws show spurious correlation: it is shrunk towards none.
    const double trust = static_cast<double>(n) / static_cast<double>(n + dims);
    VectorXd values;
    MatrixXd found;
    if (dims <= n) {
      Eigen::SelfAdjointEigenSolver<MatrixXd> solver(white * white.transpose());
      values = solver.eigenvalues();
      found = solver.eigenvectors();
    } else {
      Eigen::SelfAdjointEigenSolver<MatrixXd> solver(white.transpose() * white);
      values = solver.eigenvalues();
      found = white * solver.eigenvectors();
      for (Eigen::Index k = 0; k < n; ++k) {
        found.col(k) /= std::max(found.col(k).norm(), 1e-300);
      }
    }
    std::vector<Eigen::Index> kept;
    for (Eigen::Index k = 0; k < values.size(); ++k) {
      values[k] = trust * std::max(values[k], 0.0) + (1.0 - trust);
      if (values[k] > kFar || values[k] < 1.0 / kFar) {
        kept.push_back(k);
      }
    }
    vectors.resize(dims, static_cast<Eigen::Index>(kept.size()));
    gains.resize(static_cast<Eigen::Index>(kept.size()));
    for (std::size_t k = 0; k < kept.size(); ++k) {
      vectors.col(static_cast<Eigen::Index>(k)) = found.col(kept[k]);
      gains[static_cast<Eigen::Index>(k)] = 1.0 / std::sqrt(values[kept[k]]) - 1.0;
    }
  }

  MatrixXd matrix_;  // A, if it is stored whole
};

}  // namespace manymodes

#endif
