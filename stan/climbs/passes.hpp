// What lies between two maxima: the straight line, and a path that is relaxed uphill.

#ifndef MANYMODES_CLIMBS_PASSES_HPP
#define MANYMODES_CLIMBS_PASSES_HPP

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "climbs/heights.hpp"

namespace manymodes {

class Passes {
 public:
  // Paths have so many nodes, the ends among them.
  Passes(Heights* heights, std::size_t nodes)
      : heights_(heights), n_(heights->dims()), nodes_(nodes) {}

  // How far the height falls below the lower end on the straight line from a to b. The nodes are
  // taken from the middle; the search stops once the fall exceeds `enough`.
  double straight(const double* a, const double* b, double enough) {
    const double floor = std::min(heights_->at(a), heights_->at(b));
    double lowest = floor;
    Point x(n_);
    const std::size_t middle = (nodes_ - 1) / 2;
    for (std::size_t k = 0; k < nodes_ - 2; ++k) {
      const std::size_t off = (k + 1) / 2;
      place(a, b, k % 2 ? middle - off : middle + off, x.data());
      lowest = std::min(lowest, heights_->at(x.data()));
      if (floor - lowest > enough) {
        break;
      }
    }
    return floor - lowest;
  }

  // The string method (E, Ren, Vanden-Eijnden 2007): nodes between the ends climb across the
  // path and are spread evenly along it again. It stops as soon as the height falls by at
  // most `enough`. Returns the fall on the best path found; `best_path` gets its nodes.
  double relaxed(const double* a, const double* b, double enough, Point* best_path) {
    Point path(nodes_ * n_);
    for (std::size_t k = 0; k < nodes_; ++k) {
      place(a, b, k, &path[k * n_]);
    }
    const double floor = std::min(heights_->at(a), heights_->at(b));
    double best = std::numeric_limits<double>::infinity();
    *best_path = path;
    Point before, gradient(n_), along(n_);
    for (int round = 0; round < kRounds; ++round) {
      const double step = kFirst * std::pow(kLast / kFirst, round / (kRounds - 1.0));
      before = path;
      const double length = arc(before);
      double lowest = std::numeric_limits<double>::infinity();
      for (std::size_t k = 1; k + 1 < nodes_; ++k) {
        const double* left = &before[(k - 1) * n_];
        const double* right = &before[(k + 1) * n_];
        lowest = std::min(lowest, heights_->at(&before[k * n_], gradient.data()));
        double size = 0.0, part = 0.0, across = 0.0;
        for (std::size_t i = 0; i < n_; ++i) {
          along[i] = right[i] - left[i];
          size += along[i] * along[i];
        }
        size = std::max(std::sqrt(size), 1e-300);
        for (std::size_t i = 0; i < n_; ++i) {
          along[i] /= size;
          part += gradient[i] * along[i];
        }
        for (std::size_t i = 0; i < n_; ++i) {
          gradient[i] -= part * along[i];
          across += gradient[i] * gradient[i];
        }
        const double move = step * length / std::max(std::sqrt(across), 1.0);
        for (std::size_t i = 0; i < n_; ++i) {
          path[k * n_ + i] += move * gradient[i];
        }
      }
      if (floor - lowest < best) {
        best = floor - lowest;
        *best_path = before;
      }
      if (best <= enough) {
        break;
      }
      for (std::size_t k = 0; k < nodes_; ++k) {
        heights_->clip(&path[k * n_]);
      }
      spread(&path);
    }
    return std::max(best, 0.0);
  }

 private:
  static constexpr int kRounds = 80;
  static constexpr double kFirst = 0.04, kLast = 0.004;  // steps, of the path's length

  void place(const double* a, const double* b, std::size_t node, double* x) const {
    const double t = static_cast<double>(node) / static_cast<double>(nodes_ - 1);
    for (std::size_t i = 0; i < n_; ++i) {
      x[i] = (1.0 - t) * a[i] + t * b[i];
    }
  }

  double distance(const Point& path, std::size_t k) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < n_; ++i) {
      const double gap = path[(k + 1) * n_ + i] - path[k * n_ + i];
      sum += gap * gap;
    }
    return std::sqrt(sum);
  }

  double arc(const Point& path) const {
    double sum = 0.0;
    for (std::size_t k = 0; k + 1 < nodes_; ++k) {
      sum += distance(path, k);
    }
    return sum;
  }

  // Moves the nodes along the path so that they are equally far from one another.
  void spread(Point* path) const {
    const Point old = *path;
    const double whole = arc(old);
    if (whole == 0.0) {
      return;
    }
    std::size_t piece = 0;
    double begin = 0.0, gap = distance(old, 0);
    for (std::size_t k = 1; k + 1 < nodes_; ++k) {
      const double wanted = whole * static_cast<double>(k) / static_cast<double>(nodes_ - 1);
      while (piece + 2 < nodes_ && begin + gap < wanted) {
        begin += gap;
        gap = distance(old, ++piece);
      }
      const double t = gap > 0.0 ? std::min((wanted - begin) / gap, 1.0) : 0.0;
      for (std::size_t i = 0; i < n_; ++i) {
        (*path)[k * n_ + i] = (1.0 - t) * old[piece * n_ + i] + t * old[(piece + 1) * n_ + i];
      }
    }
  }

  Heights* heights_;
  std::size_t n_, nodes_;
};

}  // namespace manymodes

#endif
