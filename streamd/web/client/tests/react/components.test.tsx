// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { StrictMode, useState } from "react";
import { afterEach, expect, test, vi } from "vitest";

import { ConnectionIndicator, ProgressBar, ProgressModal, type ProgressModalProps } from "../../src/react/index.js";

afterEach(cleanup);

test.each([
  [42.9, 42],
  [-3, 0],
  [NaN, 0],
  [99.9, 99],
])("a progress of %d is shown as %d percent", (value, shown) => {
  render(<ProgressBar value={value} label="Upload" className="mine" />);
  const bar = screen.getByRole<HTMLProgressElement>("progressbar", { name: "Upload" });
  expect([bar.value, bar.max]).toEqual([shown, 100]);
  expect([...bar.classList]).toEqual(["streamd-progress", "mine"]);
});

test("an unknown progress has no value", () => {
  render(<ProgressBar value={null} />);
  expect(screen.getByRole("progressbar", { name: "Progress" }).hasAttribute("value")).toBe(false);
});

test.each([
  ["connected", "Connected"],
  ["connecting", "Connecting …"],
  ["disconnected", "Disconnected"],
] as const)("the indicator says %s in words", (status, text) => {
  render(<ConnectionIndicator status={status} />);
  const indicator = screen.getByRole("status");
  expect(indicator.textContent).toBe(text);
  expect(indicator.dataset["status"]).toBe(status);
});

function renderModal(props: Partial<ProgressModalProps> = {}) {
  return render(<ProgressModal open title="Your strategy" progress={40} message="Writing the plan" {...props} />);
}

test("the dialog is modal, and has its name, its message and its progress", () => {
  const shown = vi.spyOn(HTMLDialogElement.prototype, "showModal");
  renderModal();
  const dialog = screen.getByRole("dialog", { name: "Your strategy" });
  expect(shown.mock.contexts).toEqual([dialog]);
  expect(screen.getByRole("status").textContent).toBe("Writing the plan");
  expect(screen.getByRole<HTMLProgressElement>("progressbar").value).toBe(40);
  expect(screen.queryByRole("button")).toBeNull();
});

test("steps have their status in words, and the current one is marked", () => {
  const steps = [
    { name: "goals", title: "Goals", status: "completed" },
    { name: "plan", status: "running" },
    { name: "text", status: "pending" },
  ];
  renderModal({ steps });
  const items = screen.getAllByRole("listitem");
  expect(items.map((item) => item.textContent)).toEqual(["✓ Goals", "● plan", "○ text"]);
  expect(screen.getAllByRole("img").map((mark) => mark.getAttribute("aria-label"))).toEqual(["completed", "running", "pending"]);
  expect(items.map((item) => item.getAttribute("aria-current"))).toEqual(["false", "step", "false"]);
});

test("educational content is announced when it changes", () => {
  const { rerender } = renderModal({ educationalContent: { title: "Did you know?", text: "Most buyers compare." } });
  const region = screen.getByText("Did you know?").closest("[aria-live]")!;
  expect(region.getAttribute("aria-live")).toBe("polite");
  for (const [content, text] of [
    ["a text", "a text"],
    [<b key="b">an element</b>, "an element"],
    [{ text: "no title" }, "no title"],
    [null, ""],
    [{ other: 1 }, ""],
  ] as const) {
    rerender(<ProgressModal open title="Your strategy" educationalContent={content} />);
    expect(region.isConnected).toBe(true);
    expect(region.textContent).toBe(text);
  }
});

test("an error is an alert", () => {
  const { rerender } = renderModal({ error: new Error("the server is not there") });
  expect(screen.getByRole("alert").textContent).toBe("the server is not there");
  rerender(<ProgressModal open title="Your strategy" error="in words" />);
  expect(screen.getByRole("alert").textContent).toBe("in words");
});

test("buttons cancel and close, in the application's words", () => {
  const [onCancel, onClose] = [vi.fn(), vi.fn()];
  renderModal({ onCancel, onClose, cancelLabel: "Abbrechen" });
  fireEvent.click(screen.getByRole("button", { name: "Abbrechen" }));
  expect([onCancel.mock.calls.length, onClose.mock.calls.length]).toEqual([1, 0]);
  fireEvent.click(screen.getByRole("button", { name: "Close" }));
  expect([onCancel.mock.calls.length, onClose.mock.calls.length]).toEqual([1, 1]);
});

test.each(["keydown", "cancel"])("Escape (%s) closes rather than cancels, and leaves the closing to the application", (way) => {
  const [onCancel, onClose] = [vi.fn(), vi.fn()];
  const { rerender } = renderModal({ onCancel, onClose });
  const dialog = screen.getByRole("dialog");
  const escape = () =>
    way === "cancel" ? fireEvent(dialog, new Event("cancel", { cancelable: true })) : fireEvent.keyDown(dialog, { key: "Escape" });
  expect(escape()).toBe(false); // the default was prevented
  expect([onCancel.mock.calls.length, onClose.mock.calls.length]).toEqual([0, 1]);
  rerender(<ProgressModal open title="Your strategy" onCancel={onCancel} />);
  escape();
  expect(onCancel).toHaveBeenCalledTimes(1);
  fireEvent.keyDown(dialog, { key: "Tab" });
  expect(onCancel).toHaveBeenCalledTimes(1);
});

test("a dialog is shown once under StrictMode, and closed before it is removed", () => {
  const shown = vi.spyOn(HTMLDialogElement.prototype, "showModal");
  const closed = vi.spyOn(HTMLDialogElement.prototype, "close").mockImplementation(function (this: HTMLDialogElement) {
    expect(this.isConnected).toBe(true);
    this.removeAttribute("open");
  });

  function Page() {
    const [open, setOpen] = useState(true);
    return <ProgressModal open={open} title="Your strategy" onClose={() => setOpen(false)} />;
  }

  render(<Page />, { wrapper: StrictMode });
  expect(shown.mock.calls.length - closed.mock.calls.length).toBe(1);
  fireEvent.click(screen.getByRole("button", { name: "Close" }));
  expect(screen.queryByRole("dialog")).toBeNull();
  expect(shown.mock.calls.length).toBe(closed.mock.calls.length);
});
