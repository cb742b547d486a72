//! The IP Helper API's notifications of interfaces, addresses and routes.

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

/// Subscriptions that notify a trigger of possible changes until this is dropped.
pub(super) struct ChangeNotifications {
    /// Dropped first, so that no callback is running when the trigger it points to is dropped.
    _subscriptions: [Subscription; 3],
    _trigger: Arc<Notify>,
}

impl ChangeNotifications {
    /// Subscribes to all notifications.
    #[allow(unsafe_code)]
    pub(super) fn subscribe(trigger: Arc<Notify>) -> Result<Self, CheckError> {
        let context: *const c_void = Arc::as_ptr(&trigger).cast();
        // SAFETY, of all three: the context points to the `Notify` that the callbacks expect. The
        // value returned keeps it alive until the subscriptions are cancelled. If subscribing
        // fails, `trigger` is dropped after them. The handle is written before the call returns.
        let interfaces = Subscription::new(|handle| unsafe {
            NotifyIpInterfaceChange(AF_UNSPEC, Some(interface_changed), context, false, handle)
        })?;
        let addresses = Subscription::new(|handle| unsafe {
            NotifyUnicastIpAddressChange(AF_UNSPEC, Some(address_changed), context, false, handle)
        })?;
        let routes = Subscription::new(|handle| unsafe {
            NotifyRouteChange2(AF_UNSPEC, Some(route_changed), context, false, handle)
        })?;
        Ok(Self { _subscriptions: [interfaces, addresses, routes], _trigger: trigger })
    }
}

/// One subscription, cancelled when dropped.
struct Subscription(HANDLE);

// SAFETY: the handle is only ever cancelled, which any thread may do.
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
        // SAFETY: the handle came from subscribing and is cancelled once. The call waits for
        // running callbacks. It is never made from one of them, as they hold no subscription.
        unsafe { CancelMibChangeNotify2(self.0) };
    }
}

/// Notifies the trigger of a possible change.
///
/// # Safety
/// `context` points to a `Notify` that lives during the call.
#[allow(unsafe_code)]
unsafe fn notify(context: *const c_void) {
    // SAFETY: guaranteed by the caller.
    if let Some(trigger) = unsafe { context.cast::<Notify>().as_ref() } {
        trigger.notify_one();
    }
}

#[allow(unsafe_code)]
unsafe extern "system" fn interface_changed(
    context: *const c_void,
    _: *const MIB_IPINTERFACE_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the context is the one passed when subscribing.
    unsafe { notify(context) };
}

#[allow(unsafe_code)]
unsafe extern "system" fn address_changed(
    context: *const c_void,
    _: *const MIB_UNICASTIPADDRESS_ROW,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the context is the one passed when subscribing.
    unsafe { notify(context) };
}

#[allow(unsafe_code)]
unsafe extern "system" fn route_changed(
    context: *const c_void,
    _: *const MIB_IPFORWARD_ROW2,
    _: MIB_NOTIFICATION_TYPE,
) {
    // SAFETY: the context is the one passed when subscribing.
    unsafe { notify(context) };
}
