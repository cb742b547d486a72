//! No DHCP client.

use crate::setups::part::PartInfo;

pub(super) const INFO: PartInfo = PartInfo {
    name: "fixed",
    summary: "addresses set by hand, or by the line itself (ppp, LTE)",
    programs: &[],
    stand_in: None,
};
