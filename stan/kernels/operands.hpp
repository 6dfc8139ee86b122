// From Stan's arguments to arrays of numbers, and from a value with its derivatives back to Stan.
#ifndef MANYMODES_OPERANDS_HPP
#define MANYMODES_OPERANDS_HPP

#include <stan/model/model_header.hpp>
#include <type_traits>

namespace manymodes {

// A value that knows its derivatives with respect to other variables.
class AnalyticVari : public stan::math::vari {
 public:
  AnalyticVari(double value, long size, stan::math::vari** operands, const double* derivatives)
      : stan::math::vari(value), size_(size), operands_(operands), derivatives_(derivatives) {}

  void chain() override {
    for (long i = 0; i < size_; ++i) {
      if (operands_[i]) {
        operands_[i]->adj_ += adj_ * derivatives_[i];
      }
    }
  }

 private:
  long size_;
  stan::math::vari** operands_; // null for a constant
  const double* derivatives_;
};

// The arguments of a function with the result type `scalar`, one after another.
template <typename scalar>
class Operands {
 public:
  static constexpr bool gradient = !std::is_same<scalar, double>::value;
  static_assert(!gradient || std::is_same<scalar, stan::math::var>::value,
                "the kernel has first derivatives in reverse mode only");

  // `values`: room for `size` numbers. What autodiff needs later is in its own memory.
  Operands(long size, double* values) : values_(values) {
    if (gradient) {
      auto& memory = stan::math::ChainableStack::instance_->memalloc_;
      varis_ = memory.template alloc_array<stan::math::vari*>(size);
      derivatives_ = memory.template alloc_array<double>(size);
    }
  }

  // A matrix, column by column.
  template <typename Matrix>
  void add_matrix(const Matrix& elements) {
    for (long column = 0; column < elements.cols(); ++column) {
      for (long row = 0; row < elements.rows(); ++row) {
        add(elements.coeff(row, column));
      }
    }
  }

  template <typename Vector>
  void add_segment(const Vector& elements, long first, long size) {
    for (long i = first; i < first + size; ++i) {
      add(elements.coeff(i));
    }
  }

  // Where the derivatives go, in the order of the arguments; null where none are wanted.
  double* derivatives() const { return derivatives_; }

  scalar result(double value) const { return result(value, scalar{}); }

 private:
  void add(double element) {
    if (gradient) {
      varis_[size_] = nullptr;
    }
    values_[size_++] = element;
  }
  void add(const stan::math::var& element) {
    varis_[size_] = element.vi_;
    values_[size_++] = element.val();
  }

  double result(double value, double) const { return value; }
  stan::math::var result(double value, const stan::math::var&) const {
    return stan::math::var(new AnalyticVari(value, size_, varis_, derivatives_));
  }

  double* values_;
  stan::math::vari** varis_ = nullptr;
  double* derivatives_ = nullptr;
  long size_ = 0;
};

} // namespace manymodes

#endif
