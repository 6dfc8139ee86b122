#ifndef MANYMODES_BRIDGE_RUNTIME_HPP
#define MANYMODES_BRIDGE_RUNTIME_HPP

// What surrounds every call into a Stan model: autodiff memory, printed text, locking.

#include <stan/math/rev/core.hpp>

#include "bridgestan.h"

#include <atomic>
#include <iostream>
#include <mutex>
#include <streambuf>
#include <string>
#include <vector>

namespace bridge {

/** Collects the text of Stan's print statements. */
class print_buffer : public std::streambuf {
 public:
  std::string text;

 protected:
  int_type overflow(int_type c) override {
    if (!traits_type::eq_int_type(c, traits_type::eof())) {
      text.push_back(traits_type::to_char_type(c));
    }
    return traits_type::not_eof(c);
  }

  std::streamsize xsputn(const char* s, std::streamsize n) override {
    text.append(s, static_cast<size_t>(n));
    return n;
  }
};

inline std::atomic<bs_print_callback>& print_callback() {
  static std::atomic<bs_print_callback> callback{nullptr};
  return callback;
}

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
 * the nested levels that a Stan function left open by throwing) and hands on what it printed.
 * Without STAN_THREADS there is one autodiff memory, and calls from several threads take turns.
 */
class evaluation {
 public:
  thread_state& state;
  std::ostream* prints;

  evaluation()
      : state(thread_state::here()),
        prints(&state.print_stream),
#ifndef STAN_THREADS
        turn_(mutex()),
#endif
        depth_(depth()) {
    stan::math::start_nested();
  }

  ~evaluation() {
    while (depth() > depth_) {
      stan::math::recover_memory_nested();
    }
    if (!state.prints.text.empty()) {
      hand_on_prints();
    }
  }

  evaluation(const evaluation&) = delete;
  evaluation& operator=(const evaluation&) = delete;

 private:
#ifndef STAN_THREADS
  static std::mutex& mutex() {
    static std::mutex one_at_a_time;
    return one_at_a_time;
  }
  std::unique_lock<std::mutex> turn_;
#endif
  size_t depth_;

  static size_t depth() {
    return stan::math::ChainableStack::instance_->nested_var_stack_sizes_.size();
  }

  void hand_on_prints() noexcept {
    std::string text;
    text.swap(state.prints.text);
#ifndef STAN_THREADS
    turn_.unlock();  // the callback may take its time, or evaluate the model
#endif
    if (bs_print_callback callback = print_callback().load()) {
      callback(text.data(), text.size());
    } else {
      std::cout.write(text.data(), static_cast<std::streamsize>(text.size())).flush();
    }
  }
};

}  // namespace bridge

#endif
