/** A page for Chromium that uses the hooks and components as an application would. */

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { ConnectionIndicator, ProgressModal, useSSE, useSSEProgress, useSSEUpdates } from "streamd-client/react";

const STEPS = ["voice", "sentiment", "terms"];

function Analysis() {
  const [taskId, setTaskId] = useState<string | null>(null);
  const [isOpen, setOpen] = useState(false);
  const { progress, error, isConnected } = useSSEProgress<{ brand: string }>(taskId);
  const current = STEPS.indexOf(progress?.stage ?? "");

  async function start() {
    const time = new Date().toISOString();
    const mentions = [
      { text: "I love my new Acme kettle", source: "forum", time },
      { text: "Globex is cheaper, but it broke", source: "blog", time },
    ];
    const answer = await fetch("/api/brand-monitor/analyses", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ brand: "Acme", competitors: ["Globex"], mentions }),
    });
    setTaskId(((await answer.json()) as { taskId: string }).taskId);
    setOpen(true);
  }

  return (
    <section>
      <button id="start" onClick={() => void start()}>
        Analyse
      </button>
      <output id="analysis">{[progress?.status, progress?.progress, Boolean(progress?.result), isConnected, error?.message].join(" ")}</output>
      <ProgressModal
        open={isOpen}
        title="Analysis of Acme"
        progress={progress?.progress}
        message={progress?.message}
        steps={STEPS.map((name, at) => ({
          name,
          status: progress?.status === "completed" || at < current ? "completed" : at === current ? "running" : "pending",
        }))}
        educationalContent={{
          title: "Did you know?",
          text: "Share of voice is the part of all mentions that a brand has. It is compared with the share of the market.",
        }}
        error={error}
        onCancel={() => setTaskId(null)}
        onClose={() => setOpen(false)}
      />
    </section>
  );
}

function Orders() {
  const { events, connectionStatus } = useSSEUpdates("demo");
  return (
    <section>
      <ConnectionIndicator status={connectionStatus} />
      <ol id="orders">
        {events.map(({ id, type, data }) => (
          <li key={id}>
            {type} {data.stage}
          </li>
        ))}
      </ol>
    </section>
  );
}

function Latest() {
  const { data, isConnected } = useSSE<{ n: number }>("/events", { topics: ["latest"] });
  return <output id="latest">{`${isConnected} ${data?.n}`}</output>;
}

function Page() {
  const [isShown, setShown] = useState(true);
  return (
    <>
      <button id="toggle" onClick={() => setShown(!isShown)}>
        Show or hide
      </button>
      {isShown && (
        <>
          <Analysis />
          <Orders />
          <Latest />
        </>
      )}
    </>
  );
}

createRoot(document.getElementById("root")!).render(
  <StrictMode>
    <Page />
  </StrictMode>,
);
