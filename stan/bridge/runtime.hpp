#ifndef MANYMODES_BRIDGE_RUNTIME_HPP
#define MANYMODES_BRIDGE_RUNTIME_HPP

// What surrounds every call into a Stan model: autodiff memory, printed text, locking.

#include <stan/math/rev/core.hpp>

#include "bridgestan.h"

#include <atomic>
#include <iostream>
#include <memory>
#include <mutex>
#include <streambuf>
#include <string>
#include <vector>

namespace bridge {

inline std::atomic<bs_print_callback>& print_callback() {
  static std::atomic<bs_print_callback> callback{nullptr};
  return callback;
}

/**
 * Hands each line that a Stan program prints to the callback, or to standard output, as soon as
 * it is complete. Stan writes a print statement in pieces and ends it with a newline.
 */
class print_buffer : public std::streambuf {
 public:
  bool empty() const { return line_.empty(); }

  /** Hand on what there is, one thread after the other. */
  void hand_on() noexcept {
    std::string text;
    text.swap(line_);
    if (text.empty()) {
      return;
    }
    static std::recursive_mutex one_at_a_time;  // the callback may evaluate a model that prints
    const std::lock_guard<std::recursive_mutex> turn(one_at_a_time);
    try {
      if (bs_print_callback callback = print_callback().load()) {
        callback(text.data(), text.size());
      } else {
        std::cout.write(text.data(), static_cast<std::streamsize>(text.size())).flush();
      }
    } catch (...) {  // what is printed changes nothing in the result
    }
  }

 protected:
  int_type overflow(int_type c) override {
    if (!traits_type::eq_int_type(c, traits_type::eof())) {
      const char character = traits_type::to_char_type(c);
      xsputn(&character, 1);
    }
    return traits_type::not_eof(c);
  }

  std::streamsize xsputn(const char* s, std::streamsize n) override {
    line_.append(s, static_cast<size_t>(n));
    if (n > 0 && s[n - 1] == '\n') {
      hand_on();
    }
    return n;
  }

  int sync() override {
    hand_on();
    return 0;
  }

 private:
  std::string line_;
};

#ifdef STAN_THREADS
#define BRIDGE_PER_THREAD thread_local
#else
#define BRIDGE_PER_THREAD
#endif

/** Scratch space of a thread: no evaluation allocates what the previous one left here. */
struct thread_state {
#ifdef STAN_THREADS
  stan::math::ChainableStack autodiff;  // must exist before a thread's first var
#endif
  bool in_use = false;
  Eigen::VectorXd point;
  Eigen::Matrix<stan::math::var, Eigen::Dynamic, 1> var_point;
  std::vector<double> constrain_in;
  std::vector<double> constrain_out;
  std::vector<int> no_integers;
  print_buffer prints;
  std::ostream print_stream{&prints};

  static thread_state& here() {
    static BRIDGE_PER_THREAD thread_state state;
    return state;
  }
};

/**
 * One call into the model. The destructor returns all autodiff memory that the call took (also
 * the nested levels that a Stan function left open by throwing) and hands on a line that was
 * not ended. Without STAN_THREADS there is one autodiff memory, and calls from several threads
 * take turns. A print callback may evaluate a model: such a call has a state of its own.
 */
class evaluation {
#ifndef STAN_THREADS
  std::unique_lock<std::recursive_mutex> turn_{mutex()};
#endif
  std::unique_ptr<thread_state> own_{thread_state::here().in_use ? new thread_state : nullptr};
  size_t depth_ = depth();

 public:
  thread_state& state{own_ ? *own_ : thread_state::here()};
  std::ostream* prints{&state.print_stream};

  evaluation() {
    stan::math::start_nested();
    state.in_use = true;
  }

  ~evaluation() {
    while (depth() > depth_) {
      stan::math::recover_memory_nested();
    }
    if (!state.prints.empty()) {
      state.prints.hand_on();
    }
    state.in_use = false;
  }

  evaluation(const evaluation&) = delete;
  evaluation& operator=(const evaluation&) = delete;

 private:
#ifndef STAN_THREADS
  static std::recursive_mutex& mutex() {
    static std::recursive_mutex one_at_a_time;
    return one_at_a_time;
  }
#endif

  static size_t depth() {
    return stan::math::ChainableStack::instance_->nested_var_stack_sizes_.size();
  }
};

}  // namespace bridge

#endif
