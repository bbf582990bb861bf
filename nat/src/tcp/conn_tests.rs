use crate::config::TcpTuning;

pub(super) fn tuning() -> TcpTuning {
    TcpTuning { retries: 60, syn_retries: 30, ..TcpTuning::default() }
}
