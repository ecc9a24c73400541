#include "pool.h"

namespace nerf {

Pool::Pool(int threads) {
    for (int i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        ends_ = true;
    }
    start_.notify_all();
    for (std::thread& worker : workers_) worker.join();
}

void Pool::run(int tasks, const std::function<void(int, int)>& task) {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        task_ = &task;
        tasks_ = tasks;
        next_ = 0;
        running_ = int(workers_.size());
        error_ = nullptr;
        round_++;
    }
    start_.notify_all();
    take_tasks(0);
    std::unique_lock<std::mutex> lock(mutex_);
    done_.wait(lock, [this] { return running_ == 0; });
    if (error_) std::rethrow_exception(error_);
}

void Pool::work(int thread) {
    long seen = 0;
    for (;;) {
        {
            std::unique_lock<std::mutex> lock(mutex_);
            start_.wait(lock, [&] { return ends_ || round_ != seen; });
            if (ends_) return;
            seen = round_;
        }
        take_tasks(thread);
        std::lock_guard<std::mutex> lock(mutex_);
        if (--running_ == 0) done_.notify_one();
    }
}

void Pool::take_tasks(int thread) {
    for (int task; (task = next_.fetch_add(1)) < tasks_;) {
        try {
            (*task_)(task, thread);
        } catch (...) {
            std::lock_guard<std::mutex> lock(mutex_);
            if (!error_) error_ = std::current_exception();
        }
    }
}

}  // namespace nerf
