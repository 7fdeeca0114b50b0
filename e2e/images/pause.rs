//! The process that holds a pod's namespaces open. It does nothing, until it is killed.

fn main() {
    loop {
        std::thread::park();
    }
}
