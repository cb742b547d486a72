//! The IP Helper's notifications of interfaces, addresses and routes, as hints to look.

use crate::error::CheckError;
use std::{ffi::c_void, io, ptr::null_mut, sync::Arc};
use tokio::sync::Notify;
use windows_sys::Win32::{
    Foundation::{ERROR_SUCCESS, HANDLE, WIN32_ERROR},
    NetworkManagement::IpHelper::{
        CancelMibChangeNotify2, MIB_IPFORWARD_ROW2, MIB_IPINTERFACE_ROW, MIB_NOTIFICATION_TYPE,
        MIB_UNICASTIPADDRESS_ROW, NotifyIpInterfaceChange, NotifyRouteChange2, NotifyUnicastIpAddressChange,
    },
    Networking::WinSock::AF_UNSPEC,
};

/// Notifications that give hints for as long as this lives.
pub(super) struct Hints {
    /// Given up first, so that no notification is under way when what it points to is let go.
    _subscriptions: [Subscription; 3],
    _hint: Arc<Notify>,
}

impl Hints {
    /// Subscribes to everything.
    #[allow(unsafe_code)]
    pub(super) fn to(hint: Arc<Notify>) -> Result<Self, CheckError> {
        let context: *const c_void = Arc::as_ptr(&hint).cast();
        // SAFETY, of all three: the context is the `Notify` that the value made here keeps until the subscription is
        // cancelled, and that every callback below takes it for; the handle is written before the call returns.
        let interfaces = Subscription::new(|handle| unsafe {
            NotifyIpInterfaceChange(AF_UNSPEC, Some(interface_changed), context, false, handle)
        })?;
        let addresses = Subscription::new(|handle| unsafe {
            NotifyUnicastIpAddressChange(AF_UNSPEC, Some(address_changed), context, false, handle)
        })?;
        let routes = Subscription::new(|handle| unsafe {
            NotifyRouteChange2(AF_UNSPEC, Some(route_changed), context, false, handle)
        })?;
        Ok(Self { _subscriptions: [interfaces, addresses, routes], _hint: hint })
    }
}

/// One notification, cancelled when dropped.
struct Subscription(HANDLE);

// SAFETY: the handle is a token that any thread may cancel, and nothing but cancelling is done with it.
#[allow(unsafe_code)]
unsafe impl Send for Subscription {}

impl Subscription {
    fn new(subscribe: impl FnOnce(*mut HANDLE) -> WIN32_ERROR) -> Result<Self, CheckError> {
        let mut handle = null_mut();
        let error = subscribe(&raw mut handle);
        if error == ERROR_SUCCESS {
            return Ok(Self(handle));
        }
        let source = i32::try_from(error).map_or_else(io::Error::other, io::Error::from_raw_os_error);
        Err(CheckError::System { doing: "listen to Windows' network events", source })
    }
}

impl Drop for Subscription {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        // SAFETY: the handle came from the subscription and is cancelled once. The call waits for callbacks that are
        // under way; it is never made from one of them, since they hold no subscription.
        unsafe { CancelMibChangeNotify2(self.0) };
    }
}

/// # Safety
/// `context` is a `Notify` that lives during the call.
#[allow(unsafe_code)]
unsafe fn hint(context: *const c_void) {
    // SAFETY: promised by the caller.
    if let Some(hint) = unsafe { context.cast::<Notify>().as_ref() } {
        hint.notify_one();
    }
}

#[allow(unsafe_code)]
unsafe extern "system" fn interface_changed(
    context: *const c_void,
    _: *const MIB_IPINTERFACE_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the context is what the subscription was made with.
    unsafe { hint(context) };
}

#[allow(unsafe_code)]
unsafe extern "system" fn address_changed(
    context: *const c_void,
    _: *const MIB_UNICASTIPADDRESS_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the context is what the subscription was made with.
    unsafe { hint(context) };
}

#[allow(unsafe_code)]
unsafe extern "system" fn route_changed(
    context: *const c_void,
    _: *const MIB_IPFORWARD_ROW2,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the context is what the subscription was made with.
    unsafe { hint(context) };
}
